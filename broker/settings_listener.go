package broker

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// ofListener takes the name of a setting of one listener apart, as Kafka has it:
// listener.name.LISTENER.SETTING, the listener in small letters.
func ofListener(name string) (listener, setting string, ok bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return "", "", false
	}
	listener, setting, _ = strings.Cut(rest, ".")
	return strings.ToLower(listener), setting, true
}

// mayDiffer tells whether listeners may have a setting of their own.
func mayDiffer(setting string) bool {
	return strings.HasPrefix(setting, "ssl.") || setting == "sasl.enabled.mechanisms" || setting == "connections.max.reauth.ms"
}

// checkNode refuses settings that a node cannot have, those of single listeners too.
func (c catalog) checkNode(given Settings) error {
	node, topics := maps.Clone(given), newCatalog(topicSettings())
	for _, name := range slices.Sorted(maps.Keys(given)) {
		_, setting, ok := ofListener(name)
		if of := topics[name]; of != nil && len(of.node) == 0 && c[name] == nil {
			return refuseSetting(name, "setting %s is one of topics: give it to a topic, as with kafka-configs.sh --entity-type topics", name)
		}
		if !ok {
			continue
		}
		delete(node, name)
		if !mayDiffer(setting) {
			return refuseSetting(name, "setting %.120q: a listener may have ssl. settings, sasl.enabled.mechanisms and connections.max.reauth.ms of its own, and no others", name)
		}
		s, err := c.find(setting)
		if err == nil {
			err = s.check(given[name])
		}
		if err != nil {
			return refuseSetting(name, "%.120s: %v", name, err)
		}
	}
	return c.check(node)
}

// ownName is the name by which settings are a listener's: its protocol's, if it has
// none.
func (l *Listener) ownName() string { return strings.ToLower(cmp.Or(l.Name, string(l.Protocol))) }

// settingsOf are the node's as they hold for a listener. They are the node's own if it
// has none.
func settingsOf(node *settings, l *Listener) *settings {
	own := make(Settings)
	for name, value := range node.given {
		if listener, setting, ok := ofListener(name); ok && listener == l.ownName() {
			own[setting] = value
		}
	}
	if len(own) == 0 {
		return node
	}
	of := *node
	of.given = maps.Clone(node.given)
	if _, ok := own["ssl.keystore.location"]; ok { // what stands in place of a file would win
		delete(of.given, "ssl.keystore.certificate.chain")
		delete(of.given, "ssl.keystore.key")
	}
	if _, ok := own["ssl.truststore.location"]; ok {
		delete(of.given, "ssl.truststore.certificates")
	}
	maps.Copy(of.given, own)
	of.takeSecurity()
	return &of
}

// checkListeners refuses settings of listeners that there are not.
func checkListeners(node *settings, all []Listener) error {
	names := words(strings.ToLower(node.value("controller.listener.names")))
	for i := range all {
		names = append(names, all[i].ownName())
	}
	for _, name := range slices.Sorted(maps.Keys(node.given)) {
		if listener, _, ok := ofListener(name); ok && !slices.Contains(names, listener) {
			return refuseSetting(name, "setting %.120s: there is no listener %.80q: there are %s", name, listener, strings.Join(names, ", "))
		}
	}
	return nil
}
