package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// patience is how long a server may take to answer one question.
const patience = 5 * time.Second

// Postgres is the URL of a PostgreSQL database, whose user may do everything.
func Postgres(tb testing.TB) string {
	tb.Helper()
	need(tb, "PostgreSQL", "127.0.0.1:54329", postgresAnswers)
	return "postgres://hapax@127.0.0.1:54329/hapax?sslmode=disable"
}

// MariaDB is the address of a MariaDB database in the form of go-sql-driver/mysql. Its
// user may do everything.
func MariaDB(tb testing.TB) string {
	tb.Helper()
	need(tb, "MariaDB", "127.0.0.1:33069", mysqlAnswers)
	return "hapax@tcp(127.0.0.1:33069)/hapax"
}

// MySQL is the address of a MySQL database in the form of go-sql-driver/mysql. Its user
// may do everything.
func MySQL(tb testing.TB) string {
	tb.Helper()
	need(tb, "MySQL", "127.0.0.1:33079", mysqlAnswers)
	return "hapax@tcp(127.0.0.1:33079)/hapax"
}

// Redis is the address of a Redis that syncs before it answers and evicts nothing.
func Redis(tb testing.TB) string {
	tb.Helper()
	return need(tb, "Redis", "127.0.0.1:63790", redisAnswers)
}

// EvictingRedis is the address of a Redis that keeps nothing on disk, and evicts any
// key when its memory is full.
func EvictingRedis(tb testing.TB) string {
	tb.Helper()
	return need(tb, "evicting Redis", "127.0.0.1:63791", redisAnswers)
}

// Valkey is the address of a Valkey that syncs before it answers and evicts nothing.
func Valkey(tb testing.TB) string {
	tb.Helper()
	return need(tb, "Valkey", "127.0.0.1:63792", redisAnswers)
}

// RedisCluster are the addresses of the three nodes of a Redis Cluster, each as [Redis].
func RedisCluster(tb testing.TB) []string {
	tb.Helper()
	nodes := []string{"127.0.0.1:63801", "127.0.0.1:63802", "127.0.0.1:63803"}
	for _, node := range nodes {
		need(tb, "Redis Cluster", node, clusterAnswers)
	}
	return nodes
}

// Memcached is the address of a Memcached.
func Memcached(tb testing.TB) string {
	tb.Helper()
	return need(tb, "Memcached", "127.0.0.1:11219", memcachedAnswers)
}

// RabbitMQ is the URL of a RabbitMQ, whose user may do everything. It closes a channel
// over an acknowledgement that is late by more than a second.
func RabbitMQ(tb testing.TB) string {
	tb.Helper()
	return "amqp://guest:guest@" + need(tb, "RabbitMQ", "127.0.0.1:56729", rabbitAnswers) + "/"
}

// NATS is the URL of a NATS server with JetStream.
func NATS(tb testing.TB) string {
	tb.Helper()
	return "nats://" + need(tb, "NATS", "127.0.0.1:42229", natsAnswers)
}

// Mosquitto is the address of an MQTT broker that keeps sessions, and lets everybody in.
func Mosquitto(tb testing.TB) string {
	tb.Helper()
	return need(tb, "Mosquitto", "127.0.0.1:18839", mqttAnswers)
}

// need asks a server, and skips or fails the test if it does not answer as it should.
func need(tb testing.TB, name, address string, answers func(net.Conn) error) string {
	tb.Helper()
	if err := ask(address, answers); err != nil {
		missing(tb, fmt.Sprintf("no %s at %s (%v): run make services", name, address, err))
	}
	return address
}

func missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatal(what)
		return
	}
	tb.Skip("skipped: " + what)
}

func ask(address string, answers func(net.Conn) error) error {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the answer was read, or not
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	return answers(conn)
}

// exchange sends a question and reads the answer's first bytes.
func exchange(conn net.Conn, question string, answer []byte) error {
	if _, err := io.WriteString(conn, question); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, answer)
	return err
}

// postgresAnswers asks for TLS, which any answer of one byte refuses or grants.
func postgresAnswers(conn net.Conn) error {
	answer := make([]byte, 1)
	if err := exchange(conn, "\x00\x00\x00\x08\x04\xd2\x16\x2f", answer); err != nil {
		return err
	}
	if answer[0] != 'N' && answer[0] != 'S' {
		return fmt.Errorf("answered %q, which PostgreSQL does not", answer)
	}
	return nil
}

// mysqlAnswers reads the greeting of MySQL or MariaDB: a length of three bytes, a number,
// version 10.
func mysqlAnswers(conn net.Conn) error {
	greeting := make([]byte, 5)
	if err := exchange(conn, "", greeting); err != nil {
		return err
	}
	if greeting[4] != 10 {
		return fmt.Errorf("greeted by %q, which MySQL does not", greeting)
	}
	return nil
}

func redisAnswers(conn net.Conn) error { return expect(conn, "PING\r\n", "+PONG") }

func memcachedAnswers(conn net.Conn) error { return expect(conn, "version\r\n", "VERSION ") }

// rabbitAnswers greets, and reads the beginning of a frame of type 1 on channel 0.
func rabbitAnswers(conn net.Conn) error { return expect(conn, "AMQP\x00\x00\x09\x01", "\x01\x00\x00") }

func natsAnswers(conn net.Conn) error { return expect(conn, "", "INFO ") }

// mqttAnswers connects without an id or a session, and reads the first byte of a CONNACK.
func mqttAnswers(conn net.Conn) error {
	return expect(conn, "\x10\x0d\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x00", "\x20")
}

// expect demands an answer that begins with these bytes.
func expect(conn net.Conn, question, beginning string) error {
	answer := make([]byte, len(beginning))
	if err := exchange(conn, question, answer); err != nil {
		return err
	}
	if string(answer) != beginning {
		return fmt.Errorf("answered %q, not %q", answer, beginning)
	}
	return nil
}

func clusterAnswers(conn net.Conn) error {
	var answer bytes.Buffer
	if _, err := io.WriteString(conn, "CLUSTER INFO\r\nQUIT\r\n"); err != nil {
		return err
	}
	if _, err := io.Copy(&answer, conn); err != nil {
		return err
	}
	if !strings.Contains(answer.String(), "cluster_state:ok") {
		return errors.New("is not in a cluster that serves all slots")
	}
	return nil
}
