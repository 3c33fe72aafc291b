"""One call: its deadline, its cancellation, its shares, and the trail that it leaves."""
