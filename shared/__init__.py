"""What every service shares: values, events, messaging, storage, web and runtime. A closed list of rooms."""
