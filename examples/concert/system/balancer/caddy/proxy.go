package caddy

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/nearside-go/nearside/examples/concert/system/balancer"
)

// outlive is for how long requests that are under way when the configuration changes are still
// sent to other instances.
const outlive = tryFor + balancer.AnswerWithin

// proxy is Caddy's reverse proxy, with a context that ends later. Caddy ends the context of an
// old configuration at once, although requests of it are under way. The reverse proxy would
// then fail those whose instance does not answer, in place of trying another one.
type proxy struct {
	reverseproxy.Handler
	end context.CancelFunc
}

func init() { caddy.RegisterModule(&proxy{}) }

var _ caddyhttp.MiddlewareHandler = (*proxy)(nil)

// CaddyModule names the module in Caddy's configuration.
func (*proxy) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + handler, New: func() caddy.Module { return &proxy{} }}
}

const handler = "concert_proxy"

// Provision prepares the reverse proxy.
func (p *proxy) Provision(ctx caddy.Context) error {
	ctx.Context, p.end = context.WithCancel(context.WithoutCancel(ctx.Context))
	return p.Handler.Provision(ctx)
}

// Cleanup ends the reverse proxy at once, and its context later.
func (p *proxy) Cleanup() error {
	time.AfterFunc(outlive, p.end)
	return p.Handler.Cleanup()
}
