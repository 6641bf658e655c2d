"""A model's signature in the form of OpenSSF's model_signing, which others check without spark.

That package takes ECDSA keys alone. So that there is one secret to keep and not two, the key is derived from the
Ed25519 one; the statement that this one signs names the public half (docs/provenance.md).
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_build.app import Project
from spark_build.app.results import view
from spark_build.core.digest import Digest
from spark_build.core.errors import Unavailable

if TYPE_CHECKING:
    from spark_build.core.signing import PrivateKey

_PURPOSE = "spark-build model_signing P-256 1"
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256: SP 800-186, 3.2.1.3
_BYTES = 48  # 128 bits more than the order has, so that no key is likelier than another: FIPS 186-5, A.2.1


def model_signed(
    project: Project, output: Digest, key: "PrivateKey", names: tuple[str, str]
) -> Mapping[str, bytes]:
    """The signature of what `spark get` lays out, and the public key to check it with, under these names."""
    signing = _model_signing("signing")
    folder, own = view(project, output), _ecdsa(key)
    with tempfile.TemporaryDirectory(prefix="spark-attest-") as beside:  # for its owner alone
        secret, signature = Path(beside, "key"), Path(beside, "signature")
        secret.write_bytes(_private_pem(own))
        signing.Config().use_elliptic_key_signer(private_key=secret).sign(folder, signature)
        return {names[0]: signature.read_bytes(), names[1]: _public_pem(own)}


def why_not_signed(folder: Path, signature: Path, public_key: Path) -> str | None:
    """Why the signature does not hold for what it names in the folder; None where it does.

    Errors: Unavailable without model_signing.
    """
    verifying = _model_signing("verifying")
    config = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    try:
        config.set_ignore_unsigned_files(True).verify(folder, signature)
    except Exception as error:  # what stands in a file that was changed may fail anywhere
        return (str(error).splitlines() or [type(error).__name__])[0][:300]
    return None


def _ecdsa(key: "PrivateKey") -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    drawn = int.from_bytes(key.derived(_PURPOSE, _BYTES), "big")
    return ec.derive_private_key(drawn % (_ORDER - 1) + 1, ec.SECP256R1())


def _private_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms

    made: bytes = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return made


def _public_pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms

    form = forms.PublicFormat.SubjectPublicKeyInfo
    made: bytes = key.public_key().public_bytes(forms.Encoding.PEM, form)
    return made


def _model_signing(name: str) -> Any:
    """Its module `signing`, or `verifying`."""
    from importlib import import_module

    try:
        return import_module(f"model_signing.{name}")
    except ImportError as error:
        raise Unavailable(
            f"the signature of a model needs model_signing ({error.name} is not installed)",
            fix="pip install 'spark-build[attest]', or attest with --no-sign",
        ) from None
