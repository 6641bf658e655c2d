"""A bucket of a real server whose content can be kept and brought back."""

import time
from collections.abc import Mapping
from functools import cached_property
from hashlib import md5
from typing import Any

from tests.services.service import Service

_TICK_SECONDS = 1.0  # of the server's clock


class Bucket:
    def __init__(self, service: Service) -> None:
        self.service, self.name = service, service.new_bucket()

    def content(self) -> dict[str, bytes]:
        return {
            key: self._client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in self._etags()
        }

    def bring_back(self, content: Mapping[str, bytes], *, ages: bool = False) -> None:
        """What is as it was keeps its time. `ages`: the time of all else is past when this returns."""
        there, is_other = self._etags(), False
        for key in there.keys() - content.keys():
            self._client.delete_object(Bucket=self.name, Key=key)
        for key, data in content.items():
            if there.get(key) != md5(data, usedforsecurity=False).hexdigest():
                self._client.put_object(Bucket=self.name, Key=key, Body=data)
                is_other = True
        if is_other and ages:
            time.sleep(_TICK_SECONDS - time.time() % _TICK_SECONDS)

    def records(self) -> set[str]:
        return {key for key in self._etags() if "/records/" in key}

    def _etags(self) -> dict[str, str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {one["Key"]: one["ETag"].strip('"') for page in pages for one in page.get("Contents", [])}

    @cached_property
    def _client(self) -> Any:
        return self.service.client()
