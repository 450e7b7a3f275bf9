package broker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake (17), versions 0 and 1: by which mechanism the client logs in.
//
//	0  what follows is bare tokens: a size and bytes
//	1  they come in SaslAuthenticate
func saslHandshake(c *conn, req *kmsg.SASLHandshakeRequest) answer {
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	if c.login != nil {
		resp.SupportedMechanisms = slices.Clone(c.login.settings.mechanisms)
	}
	resp.ErrorCode = int16(codeOf(c.login.begin(req.Mechanism, req.Version == 0)))
	return ready(resp)
}
