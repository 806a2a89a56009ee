"""The unmodified Tahoe-LAFS client as judge of storage servers that speak its protocol (GBS)."""
