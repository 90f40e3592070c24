"""L5: user configuration: strict models outside, frozen settings inside."""
