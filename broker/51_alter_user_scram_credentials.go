package broker

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/scram"
)

// AlterUserScramCredentials (51), version 0: users come, go, and get other passwords
// (KIP-554). Of each user either all is done or nothing. Connections that have
// logged in stay, until they must do so again.
func alterUserSCRAMCredentials(c *conn, req *kmsg.AlterUserSCRAMCredentialsRequest) answer {
	resp := req.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)
	var end int64
	for _, u := range userChanges(req) {
		done := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		done.User = u.user
		at, err := c.b.users.change(u)
		end = max(end, at)
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		resp.Results = append(resp.Results, done)
	}
	return c.b.whenDurable(resp, end, nil, func(err error) {
		for i := range resp.Results {
			if r := &resp.Results[i]; err != nil && r.ErrorCode == 0 {
				r.ErrorCode, r.ErrorMessage = int16(codeOf(err)), messageOf(err)
			}
		}
	})
}

// userChanges are those of a request, in the order in which users are named.
func userChanges(req *kmsg.AlterUserSCRAMCredentialsRequest) (all []*userChange) {
	byName := make(map[string]*userChange)
	of := func(name string) *userChange {
		u := byName[name]
		if u == nil {
			u = &userChange{user: strings.Clone(name)}
			byName[u.user] = u
			all = append(all, u)
		}
		return u
	}
	for i := range req.Deletions {
		u := of(req.Deletions[i].Name)
		u.changes = append(u.changes, credentialChange{mechanism: scram.Mechanism(req.Deletions[i].Mechanism), taken: true})
	}
	for i := range req.Upsertions {
		asked := &req.Upsertions[i]
		m, c := scram.Mechanism(asked.Mechanism), scram.Credential{Iterations: int(asked.Iterations)}
		if m.Known() && len(asked.SaltedPassword) == m.Size() {
			c = scram.Salted(m, asked.SaltedPassword, asked.Salt, c.Iterations)
		}
		of(asked.Name).add(m, c)
	}
	return all
}
