package deploy_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

func readManifest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("concert.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheManifest(t *testing.T) {
	m, err := parse(readManifest(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.problems(); err != nil {
		t.Error(err)
	}
}

// TestAManifestThatIsWrong plants faults, of which each has to be found.
func TestAManifestThatIsWrong(t *testing.T) {
	text := readManifest(t)
	for name, c := range map[string]struct{ old, wrong, want string }{
		"a field that does not exist":    {"maxUnavailable: 0", "maxUnavailabel: 0", `unknown field "spec.strategy.rollingUpdate.maxUnavailabel"`},
		"a field in the wrong case":      {"minReplicas", "minreplicas", `unknown field "spec.minreplicas"`},
		"a field that is there twice":    {"minReplicas: 2", "minReplicas: 2\n  minReplicas: 3", `key "minReplicas" already set`},
		"a field in the wrong place":     {"path: /readyz, ", "path: /readyz, periodSeconds: 1, ", `readinessProbe.httpGet.periodSeconds"`},
		"a text in place of a number":    {"maxReplicas: 6", `maxReplicas: "6"`, "cannot unmarshal string"},
		"a number in place of a text":    {`value: "1"`, "value: 1", "cannot unmarshal number"},
		"no quantity":                    {"memory: 256Mi", "memory: 256MB", "quantities must match"},
		"a kind that does not exist":     {"kind: Ingress", "kind: Ingres", "no kind"},
		"a version that does not exist":  {"autoscaling/v2", "autoscaling/v3", "no kind"},
		"a kind that is there twice":     {"kind: Secret\n", "kind: ConfigMap\n", `unknown field "stringData"`},
		"no readiness probe":             {"readinessProbe:", "startupProbe:", "is missing"},
		"the selector of the Service":    {"  selector: {app: concert}", "  selector: {app: concerts}", "the Service selects other pods"},
		"the labels of the pods":         {"      labels: {app: concert}", "      labels: {app: concerts}", "the Deployment selects other pods"},
		"a port without a name":          {"targetPort: http}", "targetPort: 80}", "the Service has the port 80"},
		"the port of a probe":            {"path: /readyz, port: http", "path: /readyz, port: https", "the readiness probe has the port https"},
		"another port than the listener": {"containerPort: 8080", "containerPort: 8081", "the container's port is 8081"},
		"the backend of the Ingress":     {"service: {name: concert,", "service: {name: concerts,", "is not the Service"},
		"what is scaled":                 {"kind: Deployment, name: concert}", "kind: Deployment, name: concerts}", "is not the Deployment"},
		"two masters of the replicas":    {"spec: # the", "spec:\n  replicas: 3 # the", "has replicas"},
		"a metric without a request":     {"requests: {cpu: 100m, ", "requests: {", "requests nothing"},
		"all pods may be taken away":     {"minReplicas: 2", "minReplicas: 1", "allows no pod to be taken away, or all"},
		"pods go before others come":     {"maxUnavailable: 0", "maxUnavailable: 1", "takes pods away"},
		"the name of the ConfigMap":      {"configMapRef: {name: concert}", "configMapRef: {name: config}", "envFrom is not the ConfigMap concert"},
		"the key of the Secret":          {"key: secret}", "key: token}", "CONCERT_SECRET has a source that is not there"},
		"a setting that does not exist":  {"CONCERT_QUEUE", "CONCERT_QEUE", "there is no setting CONCERT_QEUE"},
		"a setting of another type":      {"CONCERT_DRAIN: 2s", `CONCERT_DRAIN: "2"`, "CONCERT_DRAIN: time: missing unit"},
		"a drain that is cut off":        {"CONCERT_DRAIN: 2s", "CONCERT_DRAIN: 25s", "more than the grace period"},
		"a wait that is cut off":         {"sleep: {seconds: 5}", "sleep: {seconds: 25}", "more than the grace period"},
		"a wait of no time":              {"sleep: {seconds: 5}", "sleep: {seconds: 0}", "does not wait before it is asked to end"},
		"no wait before the end":         {"preStop:", "postStart:", "is missing"},
		"variables of Services":          {"enableServiceLinks: false", "enableServiceLinks: true", "variables such as CONCERT_PORT"},
		"an image that is not built":     {"localhost/concert:1", "localhost/concert:2", "builds no localhost/concert:2"},
		"another user":                   {"runAsUser: 65532", "runAsUser: 65533", "runs as root, or"},
		"a file system to write to":      {"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "more than it needs"},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := strings.Replace(text, c.old, c.wrong, 1)
			if wrong == text {
				t.Fatalf("concert.yaml has no %q", c.old)
			}
			m, err := parse(wrong)
			if err == nil {
				err = m.problems()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// TestTheInstanceServesWhatTheManifestAsksFor runs an instance with the environment of the
// manifest, and without any server. Kubernetes is to wait for it, and not to restart it.
func TestTheInstanceServesWhatTheManifestAsksFor(t *testing.T) {
	m, err := parse(readManifest(t))
	if err != nil {
		t.Fatal(err)
	}
	const nowhere = "127.0.0.1:1"
	for name, value := range map[string]string{
		"CONCERT_LISTEN": "127.0.0.1:0", "CONCERT_DATABASE": nowhere, "CONCERT_QUEUE": "nats://" + nowhere,
		"CONCERT_REDIS": "redis://" + nowhere, "CONCERT_MAIL": "http://" + nowhere, "CONCERT_DRAIN": "0s",
	} {
		m.config.Data[name] = value
	}
	environment, err := m.environment("the-pod")
	if err != nil {
		t.Fatal(err)
	}
	config, err := service.FromEnvironment(environment)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	addr, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- service.Serve(ctx, config, func(a string) { addr <- a }) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	url := "http://" + <-addr
	c := m.container()
	if status, _ := get(t, url+c.LivenessProbe.HTTPGet.Path); status != http.StatusOK {
		t.Errorf("without a database the liveness probe gets %d, and Kubernetes restarts the pod", status)
	}
	if status, text := get(t, url+c.ReadinessProbe.HTTPGet.Path); status != http.StatusServiceUnavailable || !strings.HasPrefix(text, "starting") {
		t.Errorf("without a database the readiness probe gets %d, %q", status, text)
	}
	for _, path := range m.ingress.Spec.Rules[0].HTTP.Paths {
		if status, text := get(t, url+path.Path+"/categories"); status != http.StatusServiceUnavailable {
			t.Errorf("below the Ingress's path %s the instance answers %d, %q", path.Path, status, text)
		}
	}
}
