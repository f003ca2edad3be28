"""Showing source code in a notebook."""

from collections.abc import Callable
from inspect import getsource

from IPython.display import HTML, Code


def show_source(function: Callable) -> Code:
    """The source of a function of the package, highlighted.

    >>> from patchcore_edu import definitions
    >>> show_source(definitions.feature_vector).data.splitlines()[0]
    'def feature_vector(phi_j, h, w):'
    """
    return Code(getsource(function), language="python")


def fold_source(function: Callable) -> HTML:
    """The code of a function without its docstring, folded: it is the answer to a later exercise.

    >>> from patchcore_edu import neighbourhood
    >>> fold_source(neighbourhood).data[:47]
    '<details><summary>Source of <code>neighbourhood'
    """
    head, _, rest = getsource(function).partition('"""')
    code = Code(head.rstrip() + rest.partition('"""')[2], language="python")._repr_html_()
    name = f"<code>{function.__name__}</code>"
    return HTML(
        f"<details><summary>Source of {name}, to compare with your own after the exercises</summary>{code}</details>"
    )
