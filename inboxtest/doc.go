// Package inboxtest is the exam of stores that keep marks in the user's own
// transactions, [hapax.Marks]. Any store can sit it, by [RunMarks] from a test of its
// own. Each subtest is one promise; processes are killed, and connections are cut,
// for real.
//
// The exam runs the test binary again, as the other process: a test that calls
// RunMarks must come to it in every process alike, and leave what it sets up to
// [Store.Create] and [Store.Open].
package inboxtest
