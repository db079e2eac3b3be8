"""Whether two shares differ, from their counts: Newcombe's interval, Fisher's test."""

from selfloop.kernels.intervals import wilson
from selfloop.kernels.link_tests import exchange_p_value
from selfloop.kernels.two_estimates import Apart, Known, apart


def shares_apart(
    n_first: int, hits_first: int, *, n_second: int, hits_second: int
) -> Apart:
    """Say by how much the share of one group exceeds that of another.

    Parameters
    ----------
    n_first, hits_first : int
        People of the first group, at least 1, and of these who did it.
    n_second, hits_second : int
        The same of the second group.

    Returns
    -------
    Apart
        The 95 % interval is Newcombe's; the p value that of Fisher's exact test, 1
        when nobody or everybody did it.

    Raises
    ------
    ValueError
        When fewer than 0 or more than all did it.

    Notes
    -----
    The exact test holds its level where the normal curve does not: in the far tails of
    rare shares, which decide when many groups are compared. Interval and p value are
    made differently, and may disagree at the very edge.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, method 10; Fisher (1935), The logic of
    inductive inference, JRSS 98.

    Examples
    --------
    >>> found = shares_apart(70, 56, n_second=80, hits_second=48)
    >>> round(found.low, 4), round(found.high, 4), round(found.p_value, 4)
    (0.0524, 0.3339, 0.0125)
    """
    shares = []
    for n, hits in ((n_first, hits_first), (n_second, hits_second)):
        low, high = wilson(hits, n)
        shares.append(Known(hits / n, float(low), float(high)))
    hits, people = hits_first + hits_second, n_first + n_second
    p_value = 1.0
    if 0 < hits < people:
        p_value = exchange_p_value(
            [people], n_exposed=[n_first], n_cases=[hits], n_both=[hits_first]
        )
    return apart(*shares)._replace(p_value=p_value)
