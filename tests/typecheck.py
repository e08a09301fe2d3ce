"""The decorator that enforces annotations while tests run; an int may stand where a float is asked for."""

from beartype import BeartypeConf, beartype

enforced = beartype(conf=BeartypeConf(is_pep484_tower=True))
