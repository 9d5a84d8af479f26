"""Asymptotics of typed expressions: growth, decay, series and singularities, where no catalogue entry gives them."""
