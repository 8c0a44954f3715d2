// Package deploy_test checks concert.yaml, and with the flag -pods runs it.
package deploy_test

import (
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// manifest has the objects of concert.yaml.
type manifest struct {
	config     *corev1.ConfigMap
	secret     *corev1.Secret
	deployment *appsv1.Deployment
	service    *corev1.Service
	ingress    *networkingv1.Ingress
	scaler     *autoscalingv2.HorizontalPodAutoscaler
	budget     *policyv1.PodDisruptionBudget
}

func (m *manifest) pod() *corev1.PodSpec         { return &m.deployment.Spec.Template.Spec }
func (m *manifest) container() *corev1.Container { return &m.pod().Containers[0] }

// parse decodes the documents of a manifest as the server of Kubernetes does with strict
// validation: a field that does not exist, one that is there twice and a value of another type
// are errors. Each kind is to be there once.
func parse(text string) (*manifest, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, autoscalingv2.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	m := &manifest{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		object, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", kind, err)
		}
		if !m.take(object) {
			return nil, fmt.Errorf("%v: there is another one, or none is expected", kind)
		}
	}
	if !m.complete() {
		return nil, errors.New("an object, or a part that the checks look at, is missing")
	}
	return m, nil
}

// complete reports whether all is there that the checks look at.
func (m *manifest) complete() bool {
	if m.config == nil || m.secret == nil || m.deployment == nil || m.service == nil || m.ingress == nil || m.scaler == nil || m.budget == nil {
		return false
	}
	if len(m.pod().Containers) != 1 || len(m.service.Spec.Ports) != 1 || len(m.ingress.Spec.Rules) != 1 || len(m.scaler.Spec.Metrics) != 1 {
		return false
	}
	c := m.container()
	return len(c.Ports) == 1 && asksHTTP(c.ReadinessProbe) && asksHTTP(c.LivenessProbe) && waits(c.Lifecycle) && m.ingress.Spec.Rules[0].HTTP != nil &&
		m.pod().SecurityContext != nil && c.SecurityContext != nil && c.SecurityContext.Capabilities != nil
}

func asksHTTP(p *corev1.Probe) bool { return p != nil && p.HTTPGet != nil }

// waits reports whether a container waits before it is asked to end.
func waits(l *corev1.Lifecycle) bool { return l != nil && l.PreStop != nil && l.PreStop.Sleep != nil }

// take keeps an object. It returns false if there was one of its kind, or none is expected.
func (m *manifest) take(object runtime.Object) bool {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		return keep(&m.config, o)
	case *corev1.Secret:
		return keep(&m.secret, o)
	case *appsv1.Deployment:
		return keep(&m.deployment, o)
	case *corev1.Service:
		return keep(&m.service, o)
	case *networkingv1.Ingress:
		return keep(&m.ingress, o)
	case *autoscalingv2.HorizontalPodAutoscaler:
		return keep(&m.scaler, o)
	case *policyv1.PodDisruptionBudget:
		return keep(&m.budget, o)
	}
	return false
}

func keep[T any](place **T, object *T) bool {
	was := *place
	*place = object
	return was == nil
}

// environment returns the variables of the container in a pod of a name.
func (m *manifest) environment(pod string) ([]string, error) {
	c := m.container()
	var variables []string
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil || from.ConfigMapRef.Name != m.config.Name {
			return nil, fmt.Errorf("envFrom is not the ConfigMap %s: %v", m.config.Name, from)
		}
		for name, value := range m.config.Data {
			variables = append(variables, from.Prefix+name+"="+value)
		}
	}
	for _, v := range c.Env {
		value := v.Value
		if from := v.ValueFrom; from != nil {
			switch {
			case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
				value = pod
			case from.SecretKeyRef != nil && from.SecretKeyRef.Name == m.secret.Name && m.secret.StringData[from.SecretKeyRef.Key] != "":
				value = m.secret.StringData[from.SecretKeyRef.Key]
			default:
				return nil, fmt.Errorf("%s has a source that is not there: %v", v.Name, from)
			}
		}
		variables = append(variables, v.Name+"="+value)
	}
	return variables, nil
}
