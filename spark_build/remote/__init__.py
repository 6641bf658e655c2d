"""The store's remote tier: the same objects in S3, in packs and parts, under signed Records (design section 7)."""
