"""What runs a service: settings, technical time, leases, timers, jobs, offloaded work and telemetry."""
