// Package servertest gives tests the real servers they need. Those that tests share
// are started by scripts/services, and each has one function here, which asks the
// server before it gives its address. Where it does not answer, the test is skipped
// by a line that names it, or fails if CI is set in the environment: there all are
// there, or something is wrong.
//
// Tests that share a server keep out of each other's way by names of their own for
// what they store. A test that kills, stops or fills its server starts one that is
// its own: [StartRedis], [StartMemcached], [StartNATS], [StartPostgres], [StartMariaDB],
// [StartKafka].
package servertest
