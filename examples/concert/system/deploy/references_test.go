package deploy_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/nearside-go/nearside/examples/concert/system/service"
)

// endWithin is how long an instance may take to end after it has drained: it waits for the
// requests under way, and closes what it has open.
const endWithin = 10 * time.Second

// problems returns what in a manifest does not fit together, or does not fit the instance and its
// image.
func (m *manifest) problems() error {
	return errors.Join(m.selectorProblems(), m.portProblems(), m.scaleProblems(), m.settingProblems(), m.imageProblems())
}

// selectorProblems: what selects pods selects those of the Deployment.
func (m *manifest) selectorProblems() error {
	var errs []error
	pods := labels.Set(m.deployment.Spec.Template.Labels)
	for of, selector := range map[string]*metav1.LabelSelector{
		"Deployment":          m.deployment.Spec.Selector,
		"PodDisruptionBudget": m.budget.Spec.Selector,
		"Service":             {MatchLabels: m.service.Spec.Selector},
	} {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(pods) {
			errs = append(errs, fmt.Errorf("the %s selects other pods: %v, error %w", of, selector, err))
		}
	}
	return errors.Join(errs...)
}

// portProblems: the Ingress leads to the Service, and this and the probes to a port on which the
// instance listens.
func (m *manifest) portProblems() error {
	var errs []error
	c := m.container()
	for of, port := range map[string]intstr.IntOrString{
		"Service":         m.service.Spec.Ports[0].TargetPort,
		"readiness probe": c.ReadinessProbe.HTTPGet.Port,
		"liveness probe":  c.LivenessProbe.HTTPGet.Port,
	} {
		if port.String() != c.Ports[0].Name {
			errs = append(errs, fmt.Errorf("the %s has the port %v, which the container has not", of, port.String()))
		}
	}
	_, port, err := net.SplitHostPort(m.config.Data["CONCERT_LISTEN"])
	if n, _ := strconv.Atoi(port); err != nil || int32(n) != c.Ports[0].ContainerPort {
		errs = append(errs, fmt.Errorf("the instance listens at %q, and the container's port is %d", m.config.Data["CONCERT_LISTEN"], c.Ports[0].ContainerPort))
	}
	for _, path := range m.ingress.Spec.Rules[0].HTTP.Paths {
		if to := path.Backend.Service; to == nil || to.Name != m.service.Name || to.Port.Name != m.service.Spec.Ports[0].Name {
			errs = append(errs, fmt.Errorf("the Ingress leads to %v, which is not the Service", to))
		}
	}
	return errors.Join(errs...)
}

// scaleProblems: the number of pods can change, and at no time is it too small.
func (m *manifest) scaleProblems() error {
	var errs []error
	target := m.scaler.Spec.ScaleTargetRef
	if target.APIVersion != "apps/v1" || target.Kind != "Deployment" || target.Name != m.deployment.Name {
		errs = append(errs, fmt.Errorf("the HorizontalPodAutoscaler scales %v, which is not the Deployment", target))
	}
	if m.deployment.Spec.Replicas != nil {
		errs = append(errs, errors.New("the Deployment has replicas, which undo those of the HorizontalPodAutoscaler when the file is applied"))
	}
	if metric := m.scaler.Spec.Metrics[0].Resource; metric == nil || !requests(m.container(), metric.Name) {
		errs = append(errs, fmt.Errorf("the container requests nothing of the HorizontalPodAutoscaler's metric %v", metric))
	}
	if least, away := m.scaler.Spec.MinReplicas, m.budget.Spec.MaxUnavailable; least == nil || away == nil || away.IntVal < 1 || away.IntVal >= *least {
		errs = append(errs, errors.New("the PodDisruptionBudget allows no pod to be taken away, or all"))
	}
	if rolling := m.deployment.Spec.Strategy.RollingUpdate; rolling == nil || rolling.MaxUnavailable.String() != "0" || rolling.MaxSurge.String() == "0" {
		errs = append(errs, errors.New("a rolling update takes pods away before others are ready"))
	}
	return errors.Join(errs...)
}

func requests(c *corev1.Container, resource corev1.ResourceName) bool {
	amount := c.Resources.Requests[resource]
	return !amount.IsZero()
}

// settingProblems: the instance takes the environment, and has the time to drain.
func (m *manifest) settingProblems() error {
	environment, err := m.environment("the-pod")
	if err != nil {
		return err
	}
	config, err := service.FromEnvironment(environment)
	if err != nil {
		return err
	}
	var errs []error
	before := time.Duration(m.container().Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if grace := m.pod().TerminationGracePeriodSeconds; grace == nil || config.Drain <= 0 || time.Duration(*grace)*time.Second < before+config.Drain+endWithin {
		errs = append(errs, fmt.Errorf("the pod waits for %v, drains for %v, and needs %v after that, which is more than the grace period", before, config.Drain, endWithin))
	}
	if before <= 0 {
		errs = append(errs, errors.New("the pod does not wait before it is asked to end"))
	}
	if links := m.pod().EnableServiceLinks; links == nil || *links {
		errs = append(errs, errors.New("the pod has variables such as CONCERT_PORT, which the instance refuses"))
	}
	return errors.Join(errs...)
}

// imageProblems: the image is the one that is built, and its user may do as little as possible.
func (m *manifest) imageProblems() error {
	script, err := os.ReadFile("build-image")
	if err != nil {
		return err
	}
	containerfile, err := os.ReadFile("Containerfile")
	if err != nil {
		return err
	}
	var errs []error
	if c := m.container(); !strings.Contains(string(script), "\nimage="+c.Image+" ") {
		errs = append(errs, fmt.Errorf("build-image builds no %s", c.Image))
	}
	pod, own := m.pod().SecurityContext, m.container().SecurityContext
	user := fmt.Sprintf("USER %d:%d", value(pod.RunAsUser), value(pod.RunAsGroup))
	if !value(pod.RunAsNonRoot) || !regexp.MustCompile("(?m)^"+user+"$").Match(containerfile) {
		errs = append(errs, fmt.Errorf("the pod runs as root, or its image has no %q", user))
	}
	if !value(own.ReadOnlyRootFilesystem) || own.AllowPrivilegeEscalation == nil || *own.AllowPrivilegeEscalation || len(own.Capabilities.Drop) != 1 || own.Capabilities.Drop[0] != "ALL" {
		errs = append(errs, fmt.Errorf("the container may do more than it needs: %v", own))
	}
	if limit := m.container().Resources.Limits[corev1.ResourceMemory]; limit.IsZero() {
		errs = append(errs, errors.New("the container has no limit of memory"))
	}
	return errors.Join(errs...)
}

// value is what p points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
