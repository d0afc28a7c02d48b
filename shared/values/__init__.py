"""Pure values every domain speaks in: money, ids, rates, periods, calendars and dated policies."""
