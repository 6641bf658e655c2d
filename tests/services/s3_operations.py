"""Which operation of S3 a request asks for: its name, the bucket and the key (in the path, not in the host's name)."""

from collections.abc import Collection, Mapping
from urllib.parse import parse_qs, unquote, urlsplit

# what the query must have -> the operation; the first that fits
ON_A_KEY: Mapping[str, tuple[tuple[str, str], ...]] = {
    "GET": (("uploadId", "ListParts"), ("attributes", "GetObjectAttributes"), ("", "GetObject")),
    "HEAD": (("", "HeadObject"),),
    "PUT": (("uploadId", "UploadPart"), ("", "PutObject")),
    "POST": (("uploads", "CreateMultipartUpload"), ("uploadId", "CompleteMultipartUpload")),
    "DELETE": (("uploadId", "AbortMultipartUpload"), ("", "DeleteObject")),
}
ON_A_BUCKET: Mapping[str, tuple[tuple[str, str], ...]] = {
    "GET": (
        ("list-type", "ListObjectsV2"),
        ("uploads", "ListMultipartUploads"),
        ("versions", "ListObjectVersions"),
        ("location", "GetBucketLocation"),
        ("policy", "GetBucketPolicy"),
        ("versioning", "GetBucketVersioning"),
        ("", "ListObjects"),
    ),
    "HEAD": (("", "HeadBucket"),),
    "PUT": (("policy", "PutBucketPolicy"), ("versioning", "PutBucketVersioning"), ("", "CreateBucket")),
    "POST": (("delete", "DeleteObjects"),),
    "DELETE": (("policy", "DeleteBucketPolicy"), ("", "DeleteBucket")),
}


def asked(method: str, target: str, headers: Collection[str]) -> tuple[str, str, str]:
    address = urlsplit(target)
    bucket, _, key = unquote(address.path).lstrip("/").partition("/")
    query = parse_qs(address.query, keep_blank_values=True)
    if not bucket:
        return ("ListBuckets" if method == "GET" else method), "", ""
    name = _named((ON_A_KEY if key else ON_A_BUCKET).get(method, ()), query) or method
    if "x-amz-copy-source" in headers:
        name = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(name, name)
    return name, bucket, key


def _named(forms: tuple[tuple[str, str], ...], query: Collection[str]) -> str:
    return next((name for needed, name in forms if not needed or needed in query), "")
