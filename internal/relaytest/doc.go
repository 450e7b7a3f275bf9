// Package relaytest takes destinations of relays through what they have to stand: an
// outbox in a database, relays that are processes and die by SIGKILL at each step between seal,
// publish and delete, connections that lose answers, and an audit of what came.
package relaytest
