package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// KafkaVersion is that of Apache Kafka which is measured.
const KafkaVersion = "4.1.1"

// KafkaJars fetches Apache Kafka's jars into the user's cache, unless they are
// there, and returns their folder; or it is HAPAX_KAFKA.
func KafkaJars(ctx context.Context) (string, error) {
	if dir := os.Getenv("HAPAX_KAFKA"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "hapax-bench", "kafka-"+KafkaVersion)
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("it needs Java 17: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	dependency := func(group, name, version string) string {
		return fmt.Sprintf("<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>", group, name, version)
	}
	pom := `<project><modelVersion>4.0.0</modelVersion><groupId>bench</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>` +
		dependency("org.apache.kafka", "kafka_2.13", KafkaVersion) + dependency("org.apache.kafka", "kafka-tools", KafkaVersion) +
		dependency("org.slf4j", "slf4j-nop", "1.7.36") + `</dependencies></project>`
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o644); err != nil {
		return "", err
	}
	fetch := exec.CommandContext(ctx, "mvn", "-q", "-f", file, "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	if out, err := fetch.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch its jars: %w: %s", err, out)
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

// Kafka is one node of Apache Kafka with its files in a folder, formatted, with a heap as its own
// script gives it.
func Kafka(ctx context.Context, folder, jars, name, settings string) (*Node, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	controller, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(folder, strings.ReplaceAll(name, " ", "-"))
	config := dir + ".properties"
	_, port, _ := net.SplitHostPort(controller)
	settings += strings.Join([]string{
		"process.roles=broker,controller", "node.id=1",
		"controller.quorum.voters=1@127.0.0.1:" + port,
		"listeners=PLAINTEXT://" + address + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://" + address,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + dir,
		"offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
	}, "\n") + "\n"
	if err := os.WriteFile(config, []byte(settings), 0o644); err != nil {
		return nil, err
	}
	classes := filepath.Join(jars, "*")
	format := exec.CommandContext(ctx, "java", "-cp", classes, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format %s: %w: %s", name, err, out)
	}
	return &Node{
		Name: name, Address: address, Output: dir + ".log",
		Command: func() *exec.Cmd {
			return exec.Command("java", "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
				"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
				"-cp", classes, "kafka.Kafka", config)
		},
	}, nil
}
