"""The only imports of third-party SDKs, one system per file."""
