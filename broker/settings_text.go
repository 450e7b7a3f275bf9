package broker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// Set takes NAME=VALUE[,NAME=VALUE…] over. What has no "=" goes on with the value
// before it, so that a list needs no quotes; an empty text is nothing.
func (s Settings) Set(text string) error {
	last := ""
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		switch name = strings.TrimSpace(name); {
		case ok && name != "":
			s[name], last = strings.TrimSpace(value), name
		case strings.TrimSpace(part) == "":
		case ok || last == "":
			return fmt.Errorf("setting %q: want NAME=VALUE", part)
		default:
			s[last] += "," + strings.TrimSpace(part)
		}
	}
	return nil
}

// Read takes lines of NAME=VALUE over, as of Kafka's server.properties, and tells in
// which line each setting stands, counted from 1. Lines that are empty or begin with #
// say nothing.
func (s Settings) Read(r io.Reader) (at map[string]int, err error) {
	at = make(map[string]int)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fmt.Errorf("line %d: %.80q: want NAME=VALUE", n, line)
		}
		s[name], at[name] = strings.TrimSpace(value), n
	}
	return at, lines.Err()
}

// Check reports the first setting that is not known, or whose value cannot be.
func (s Settings) Check() error {
	_, err := parseSettings(s)
	return err
}

// Idle are the names of settings that were given and mean nothing on one node.
func (s Settings) Idle() (names []string) {
	all := newCatalog(nodeSettings())
	for _, name := range all.names() {
		if _, given := s[name]; given && all[name].effect == nothing {
			names = append(names, name)
		}
	}
	return names
}

// defaultListener is Kafka's, which advertised.listeners may be about alone.
const defaultListener = "PLAINTEXT://:9092"

// Listeners are those of listeners and advertised.listeners; none if they are not
// set. Those of controllers, of which one node has none, are left out.
func (s Settings) Listeners() (all []Listener, err error) {
	protocols := make(map[string]string)
	for _, pair := range words(s["listener.security.protocol.map"]) {
		name, protocol, ok := strings.Cut(pair, ":")
		if !ok {
			return nil, refuseSetting("listener.security.protocol.map", "listener.security.protocol.map %q: want NAME:PROTOCOL", pair)
		}
		protocols[name] = protocol
	}
	names, controllers := make(map[string]int), words(s["controller.listener.names"])
	opened, told := words(s["listeners"]), words(s["advertised.listeners"])
	if len(opened) == 0 && len(told) > 0 {
		opened = []string{defaultListener}
	}
	for _, entry := range opened {
		name, address, err := endpoint("listeners", entry)
		if err != nil {
			return nil, err
		}
		if slices.Contains(controllers, name) {
			continue
		}
		if _, twice := names[name]; twice {
			return nil, refuseSetting("listeners", "listeners: two are called %s", name)
		}
		protocol, ok := protocols[name]
		if !ok {
			protocol = name
		}
		if !Protocol(protocol).known() {
			return nil, refuseSetting("listeners", "listeners: %s speaks %s: want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; say of another name which it is, with listener.security.protocol.map=%s:PROTOCOL", name, protocol, name)
		}
		names[name] = len(all)
		all = append(all, Listener{Name: name, Protocol: Protocol(protocol), Address: address})
	}
	for _, entry := range told {
		name, address, err := endpoint("advertised.listeners", entry)
		if err != nil {
			return nil, err
		}
		i, ok := names[name]
		if !ok && slices.Contains(controllers, name) {
			continue
		}
		if !ok {
			return nil, refuseSetting("advertised.listeners", "advertised.listeners: %s is none of the listeners", name)
		}
		if host, _, _ := net.SplitHostPort(address); everywhere(host) { // it was checked
			return nil, refuseSetting("advertised.listeners", "advertised.listeners: %s: %s is all addresses: say one that clients are to come to", name, address)
		}
		all[i].Advertise = address
	}
	for _, l := range all {
		host, _, _ := net.SplitHostPort(l.Address) // it was checked
		if l.Advertise == "" && everywhere(host) {
			return nil, refuseSetting("listeners", "listeners: %s is on all addresses: say in advertised.listeners which one clients are to come to", l.Name)
		}
	}
	return all, nil
}

// everywhere tells whether a host stands for all addresses of a machine.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// endpoint takes NAME://HOST:PORT apart.
func endpoint(setting, entry string) (name, address string, err error) {
	name, address, ok := strings.Cut(entry, "://")
	if _, _, err := net.SplitHostPort(address); !ok || name == "" || err != nil {
		return "", "", refuseSetting(setting, "%s: %q: want NAME://HOST:PORT", setting, entry)
	}
	return name, address, nil
}
