"""What the steps in `scripts/` share: errors, files, seeds, settings, S3."""
