"""Days, zones and units of the pages."""

from datetime import date, timedelta

from notebooks.report.window import Unit, Window, difference, price


def test_prices_and_differences_in_each_unit():
    assert price(0.25, Unit.CENTS) == "25.00¢"
    assert price(0.25, Unit.PERCENT) == "25.0 %"
    # 100 win 300 at a quarter; 300 win 100 at three quarters.
    assert price(0.25, Unit.AMERICAN) == "+300"
    assert price(0.75, Unit.AMERICAN) == "-300"
    assert price(0.5, Unit.LOGODDS) == "+0.00"
    assert price(1.0, Unit.AMERICAN) == "100.00¢"
    assert difference(0.05, Unit.AMERICAN) == "5.00¢"
    assert difference(0.05, Unit.PERCENT) == "5.00 pp"


def test_a_day_of_new_york_is_23_hours_long_in_march():
    window = Window(date(2026, 3, 8), date(2026, 3, 9))

    assert window.until_ts - window.since_ts == timedelta(hours=23)
    assert window.before == date(2026, 3, 1)
    assert len(list(window.days)) == 8
