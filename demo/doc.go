// Package demo plays a payment gateway twice, side by side, while the world does to both
// what it does: answers are lost, processes are killed, ranges are replayed.
//
//	client ─▶ gateway ─▶ outbox ─▶ payments ─┬─▶ wallet ─▶ outbox ─▶ credits ─▶ settlement ─▶ bank
//	             │                           ├─▶ mail ─▶ mail server
//	             │                           ├─▶ keyless ─▶ mail server that takes no keys
//	             │                           └─▶ analytics
//	             └─▶ outbox ─▶ moves ─▶ addresses
//
// Both columns run the same handlers (handlers.go) in processes of their own, over one
// broker. What differs is who calls them: in naive.go a service as it is written by hand,
// with care, which delivers at least once; in once.go the doors of Hapax.
//
// A conductor starts the processes, plays the client, and does the harm. What happens when
// is drawn from a seed (schedule.go), once for both columns. A part asks the conductor at
// each step that it takes for a payment, and waits for its answer (stage.go): so a process
// is killed exactly there, on any machine, however slow.
//
// At the end the books are audited (package auditor).
package demo
