vcl 4.1;

import xkey;

backend origin {
	.host = "ORIGIN_HOST";
	.port = "ORIGIN_PORT";
}

acl purgers {
	"127.0.0.1";
}

# Both kinds of purges have the tags in their header Surrogate-Key. They have no characters that
# mean something in a regular expression.
sub vcl_recv {
	if (req.method == "PURGE" || req.method == "BAN") {
		if (client.ip !~ purgers) {
			return (synth(403, "Forbidden"));
		}
		if (req.http.Surrogate-Key !~ "^[-0-9A-Za-z ]+$") {
			return (synth(400, "The request has no tags"));
		}
		if (req.method == "PURGE") {
			set req.http.gone = xkey.purge(req.http.Surrogate-Key);
		} else {
			ban("obj.http.Surrogate-Key ~ (^|[[:space:]])(" +
				regsuball(req.http.Surrogate-Key, " +", "|") + ")([[:space:]]|$)");
		}
		return (synth(200, "Purged"));
	}
}

sub vcl_backend_response {
	set beresp.http.xkey = beresp.http.Surrogate-Key;
	set beresp.grace = 0s;
	if (beresp.status != 200) {
		set beresp.ttl = 0s;
		set beresp.uncacheable = true;
	}
}

# Purgers need the tags, and nobody else.
sub vcl_deliver {
	unset resp.http.xkey;
	unset resp.http.Surrogate-Key;
}
