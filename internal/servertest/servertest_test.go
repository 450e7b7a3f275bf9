package servertest

import (
	"io"
	"net"
	"strings"
	"testing"
)

// TestShared asks each server that tests share.
func TestShared(t *testing.T) {
	servers := map[string]func(testing.TB) string{
		"PostgreSQL": Postgres, "MariaDB": MariaDB, "MySQL": MySQL, "Redis": Redis, "evicting Redis": EvictingRedis, "Valkey": Valkey,
		"Memcached":     Memcached,
		"RabbitMQ":      RabbitMQ,
		"NATS":          NATS,
		"Mosquitto":     Mosquitto,
		"Redis Cluster": func(tb testing.TB) string { return strings.Join(RedisCluster(tb), ",") },
	}
	for name, address := range servers {
		t.Run(name, func(t *testing.T) { t.Log(address(t)) })
	}
}

// witness is a test that notes how it was left.
type witness struct {
	testing.TB
	skipped, failed string
}

func (w *witness) Helper()           {}
func (w *witness) Skip(args ...any)  { w.skipped, _ = args[0].(string) }
func (w *witness) Fatal(args ...any) { w.failed, _ = args[0].(string) }

// TestMissing: a server that is not there, or is another one, skips the test by name,
// and fails it in CI.
func TestMissing(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "+OK hello and welcome\r\n")
			_ = conn.Close()
		}
	}()
	for _, address := range []string{other.Addr().String(), nobody(t)} {
		for name, answers := range map[string]func(net.Conn) error{
			"PostgreSQL": postgresAnswers, "MySQL": mysqlAnswers, "Redis": redisAnswers,
			"Redis Cluster": clusterAnswers, "Memcached": memcachedAnswers,
			"RabbitMQ": rabbitAnswers, "NATS": natsAnswers, "Mosquitto": mqttAnswers,
		} {
			t.Setenv("CI", "")
			w := &witness{TB: t}
			need(w, name, address, answers)
			if !strings.HasPrefix(w.skipped, "skipped: no "+name+" at "+address) || w.failed != "" {
				t.Errorf("%s: skipped by %q, failed by %q", name, w.skipped, w.failed)
			}
			t.Setenv("CI", "true")
			w = &witness{TB: t}
			need(w, name, address, answers)
			if w.skipped != "" || !strings.HasPrefix(w.failed, "no "+name+" at "+address) {
				t.Errorf("%s in CI: skipped by %q, failed by %q", name, w.skipped, w.failed)
			}
		}
	}
}

// nobody is an address at which nobody answers.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
