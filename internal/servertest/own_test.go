//go:build unix

package servertest

import "testing"

// TestOwn takes a server through what a test may do to it.
func TestOwn(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *Server{
		"Redis": StartRedis, "Memcached": StartMemcached, "Mosquitto": StartMosquitto, "NATS": StartNATS, "RabbitMQ": StartRabbitMQ,
		"Apache Kafka": func(tb testing.TB, _ ...string) *Server { tb.Helper(); return StartKafka(tb) },
		"PostgreSQL":   func(tb testing.TB, args ...string) *Server { tb.Helper(); s, _ := StartPostgres(tb, args...); return s },
		"MariaDB":      func(tb testing.TB, args ...string) *Server { tb.Helper(); s, _ := StartMariaDB(tb, args...); return s },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			s.Pause()
			s.Resume()
			s.Kill()
			if err := ask(s.Addr, s.answers); err == nil {
				t.Errorf("%s answers after its end", name)
			}
			s.Start()
			if err := ask(s.Addr, s.answers); err != nil {
				t.Errorf("started again: %v", err)
			}
		})
	}
}
