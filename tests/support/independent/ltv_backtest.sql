select tier, case when simple then 'trailing_rate' else 'bg_nbd' end, simple,
    simple = (tier not in (select tier from fitted_tiers)), (select day from cut), 90, people,
    guessed::decimal(18, 2), truth::decimal(18, 2), rounded2(error, people), rounded2(truth, people)
from ltv_errors
