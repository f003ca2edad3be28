"""Small things that the lessons show."""

from collections.abc import Callable
from inspect import getsource

from IPython.display import Code


def show_source(function: Callable, docstring: bool = True) -> Code:
    """The source of a function as it stands in the package, highlighted; with docstring=False only its code.

    >>> from patchcore_edu import definitions
    >>> show_source(definitions.feature_vector, docstring=False).data
    'def feature_vector(phi_j, h, w):\\n    return [channel[h][w] for channel in phi_j]\\n'
    """
    source = getsource(function)
    if not docstring and function.__doc__:
        head, _, rest = source.partition('"""')
        source = head.rstrip() + rest.partition('"""')[2]
    return Code(source, language="python")
