"""How operations and aggregations are declared: one annotated function, from which all else comes.

A declaration is a value, not an entry in a registry: importing a module that declares operations
changes nothing anywhere. The catalog collects them from the modules that a config names.

    from engine.declare import F, Number, Same, operation

    @operation(infix="+")
    def add(left: Number, right: Number) -> Same:
        '''The sum of two numbers; null where it does not fit the type.

        Examples:
            add(2, 3) => 5
            add(2, 0.5) => 2.5
            2 + null => null
        '''
        return F.try_add(left, right)
"""

from engine.declare.declaration import (
    Aggregation,
    Context,
    Declaration,
    Derived,
    Example,
    Operation,
    Parameter,
    Verify,
)
from engine.declare.function import aggregation, derived, operation, scalar
from engine.declare.kinds import (
    Alike,
    Anything,
    Boolean,
    ConstantInteger,
    ConstantNumber,
    ConstantText,
    Double,
    First,
    Float,
    Int,
    Integer,
    Kind,
    Long,
    Looked,
    Number,
    Numeric,
    Real,
    ResultRule,
    Same,
    Scalar,
    String,
    SumType,
    Text,
    Time,
    Timestamp,
    Truth,
)
from engine.declare.lazy import F

__all__ = [
    "Aggregation",
    "Alike",
    "Anything",
    "Boolean",
    "ConstantInteger",
    "ConstantNumber",
    "ConstantText",
    "Context",
    "Declaration",
    "Derived",
    "Double",
    "Example",
    "F",
    "First",
    "Float",
    "Int",
    "Integer",
    "Kind",
    "Long",
    "Looked",
    "Number",
    "Numeric",
    "Operation",
    "Parameter",
    "Real",
    "ResultRule",
    "Same",
    "Scalar",
    "String",
    "SumType",
    "Text",
    "Time",
    "Timestamp",
    "Truth",
    "Verify",
    "aggregation",
    "derived",
    "operation",
    "scalar",
]
