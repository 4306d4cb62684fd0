package relay

// fallbackConnections is the limit where the system tells none.
const fallbackConnections = 10_000
