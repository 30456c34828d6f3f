"""What earlier versions read, and the test that this version writes nothing else (docs/deploy.md, rolling upgrades)."""
