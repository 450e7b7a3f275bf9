package redisdb

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed claim.lua
	claimSource string
	//go:embed extend.lua
	extendSource string
	//go:embed commit.lua
	commitSource string
	//go:embed release.lua
	releaseSource string
	//go:embed look.lua
	lookSource string
	//go:embed expire.lua
	expireSource string
)

// scripts are the steps, each atomic on its server. Claim obeys maxmemory; those that
// end what was begun do not need more memory than the claim they replace, but for a
// receipt, and are let through.
type scripts struct{ claim, extend, commit, release, look, expire *redis.Script }

func newScripts() scripts {
	return scripts{
		claim:   redis.NewScript(claimSource),
		extend:  redis.NewScript(extendSource),
		commit:  redis.NewScript(commitSource),
		release: redis.NewScript(releaseSource),
		look:    redis.NewScript(lookSource),
		expire:  redis.NewScript(expireSource),
	}
}

func (s scripts) all() []*redis.Script {
	return []*redis.Script{s.claim, s.extend, s.commit, s.release, s.look, s.expire}
}
