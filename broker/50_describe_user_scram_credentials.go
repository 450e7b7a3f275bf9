package broker

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hapaxmq/hapax/broker/code"
)

// DescribeUserScramCredentials (50), version 0: which mechanisms users have
// credentials for (KIP-554), and never what these are.
func describeUserSCRAMCredentials(c *conn, req *kmsg.DescribeUserSCRAMCredentialsRequest) answer {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	all, times := namedUsers(req)
	if len(all) == 0 {
		all = c.b.users.list()
	}
	for _, name := range all {
		done := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		done.User = name
		has, err := c.b.users.of(name), error(nil)
		switch {
		case times[name] > 1:
			has, err = nil, refuse(code.DuplicateResource, "user %q is named %d times", name, times[name])
		case len(has) == 0:
			err = refuse(code.ResourceNotFound, "there is no user %q", name)
		}
		done.ErrorCode, done.ErrorMessage = int16(codeOf(err)), messageOf(err)
		for _, m := range slices.Sorted(maps.Keys(has)) {
			info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
			info.Mechanism, info.Iterations = int8(m), int32(has[m].Iterations)
			done.CredentialInfos = append(done.CredentialInfos, info)
		}
		resp.Results = append(resp.Results, done)
	}
	return ready(resp)
}

// namedUsers are those that a request names, each once, and how often it does.
func namedUsers(req *kmsg.DescribeUserSCRAMCredentialsRequest) (names []string, times map[string]int) {
	times = make(map[string]int)
	for i := range req.Users {
		name := strings.Clone(req.Users[i].Name)
		if times[name]++; times[name] == 1 {
			names = append(names, name)
		}
	}
	return names, times
}
