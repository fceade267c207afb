"""Sparkplug B's payload, as its protobuf fields.

Source: sparkplug_b.proto of Eclipse Tahu (proto2). Of its fields only those are listed that we read; the others (templates,
data sets, metadata, files) are skipped by the library, nested however deep. The message type is built from this table when
the module is loaded, so there is no generated file. Strings are declared as bytes, which they are on the wire: what is in
them is not always UTF-8.
"""

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from fleet.errors import BadInput

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "sparkplug"
# message → field → number, type, repeated
_MESSAGES: Final[dict[str, dict[str, tuple[int, int | str, bool]]]] = {
    "PropertyValue": {"is_null": (2, _Field.TYPE_BOOL, False), "string_value": (8, _Field.TYPE_BYTES, False)},
    "PropertySet": {"keys": (1, _Field.TYPE_BYTES, True), "values": (2, "PropertyValue", True)},
    "Metric": {
        "name": (1, _Field.TYPE_BYTES, False),
        "alias": (2, _Field.TYPE_UINT64, False),
        "timestamp": (3, _Field.TYPE_UINT64, False),
        "datatype": (4, _Field.TYPE_UINT32, False),
        "is_null": (7, _Field.TYPE_BOOL, False),
        "properties": (9, "PropertySet", False),
        "int_value": (10, _Field.TYPE_UINT32, False),
        "long_value": (11, _Field.TYPE_UINT64, False),
        "float_value": (12, _Field.TYPE_FLOAT, False),
        "double_value": (13, _Field.TYPE_DOUBLE, False),
    },
    "Payload": {
        "timestamp": (1, _Field.TYPE_UINT64, False),
        "metrics": (2, "Metric", True),
        "seq": (3, _Field.TYPE_UINT64, False),
    },
}
_VALUES: Final = frozenset(("int_value", "long_value", "float_value", "double_value"))  # one of them: the last one counts


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            described = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                described.type, described.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                described.type = kind  # type: ignore[assignment]
            if field in _VALUES:
                described.oneof_index = 0
        if not _VALUES.isdisjoint(fields):
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


_Payload: Final = _payload_class()


def payload(raw: bytes) -> Any:
    """Its fields are those of _MESSAGES. Raises BadInput (bad_payload)."""
    try:
        return _Payload.FromString(raw)
    except DecodeError:
        raise BadInput("bad_payload", f"{len(raw)} bytes that are no Sparkplug B payload") from None
