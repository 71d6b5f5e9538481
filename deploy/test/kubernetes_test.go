package deploytest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func TestKubernetes(t *testing.T) {
	testCheck(t, checkKubernetes, []mistake{
		{"a field that does not exist", manifestFile, "imagePullPolicy:", "pullPolicy:", `unknown field "spec.template.spec.containers[0].pullPolicy"`},
		{"a field in the wrong case", manifestFile, "enableServiceLinks:", "enableservicelinks:", "unknown field"},
		{"a field given twice", manifestFile, "  replicas: 3\n", "  replicas: 3\n  replicas: 3\n", "replicas"},
		{"a field of the wrong type", manifestFile, "replicas: 3", "replicas: three", "replicas"},
		{"a version that does not exist", manifestFile, "apps/v1", "apps/v2", "apps/v2"},
		{"a quantity that is none", manifestFile, "cpu: 250m", "cpu: 250mi", "quantity"},
		{"a label that is none", manifestFile, "      app.kubernetes.io/instance: wasmton-tasks\n  # All", "      app.kubernetes.io/instance: wasmton tasks\n  # All", "wasmton tasks"},
		{"a selector that selects nothing", manifestFile, "      app.kubernetes.io/instance: wasmton-tasks\n  # All", "      app.kubernetes.io/instance: tasks\n  # All", "selector"},
		{"a version in the selector", manifestFile, "      app.kubernetes.io/instance: wasmton-tasks\n  # All", "      app.kubernetes.io/version: dev\n  # All", "version"},
		{"a budget that selects nothing", manifestFile, "  unhealthyPodEvictionPolicy: AlwaysAllow\n  selector:\n    matchLabels:\n", "  unhealthyPodEvictionPolicy: AlwaysAllow\n  selector:\n    matchLabels:\n      app: wasmton\n", "budget"},
		{"a budget that lets none go", manifestFile, "  maxUnavailable: 1\n", "  maxUnavailable: 0\n", "budget"},
		{"a budget that a crash holds up", manifestFile, "  unhealthyPodEvictionPolicy: AlwaysAllow\n", "", "unhealthy"},
		{"no budget", manifestFile, "apiVersion: policy/v1\nkind: PodDisruptionBudget", "apiVersion: v1\nkind: Pod", "unknown field"},
		{"an instance label that is not the group", manifestFile, "--group=wasmton-tasks", "--group=tasks", "group"},
		{"a grace period as long as the drain", manifestFile, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 20", "terminationGracePeriodSeconds"},
		{"a drain as long as the grace period", manifestFile, "--drain-timeout=20s", "--drain-timeout=45s", "terminationGracePeriodSeconds"},
		{"the default grace period", manifestFile, "      terminationGracePeriodSeconds: 45\n", "", "terminationGracePeriodSeconds"},
		{"a rollout of one pod at a time", manifestFile, "maxSurge: 100%", "maxSurge: 1", "maxSurge"},
		{"a rollout with a gap", manifestFile, "maxUnavailable: 0\n  template", "maxUnavailable: 1\n  template", "maxUnavailable"},
		{"a probe of another port", manifestFile, "{path: /readyz, port: metrics}", "{path: /readyz, port: http}", "port"},
		{"a probe of another path", manifestFile, "{path: /readyz, port: metrics}", "{path: /livez, port: metrics}", "/readyz"},
		{"no liveness probe", manifestFile, "          livenessProbe:\n            httpGet: {path: /livez, port: metrics}\n            periodSeconds: 10\n            timeoutSeconds: 5\n            failureThreshold: 3\n", "", "no liveness probe"},
		{"a start that may take no time", manifestFile, "failureThreshold: 60", "failureThreshold: 1", "startup"},
		{"metrics on another port", manifestFile, "containerPort: 9464", "containerPort: 9090", "9464"},
		{"root", manifestFile, "runAsUser: 65532", "runAsUser: 0", "runAsUser"},
		{"another user than the image's", manifestFile, "runAsUser: 65532", "runAsUser: 1000", "runAsUser"},
		{"a user that may be root", manifestFile, "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot"},
		{"a volume of another group", manifestFile, "        fsGroup: 65532\n", "", "fsGroup"},
		{"every system call", manifestFile, "type: RuntimeDefault", "type: Unconfined", "seccomp"},
		{"more rights than at the start", manifestFile, "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "allowPrivilegeEscalation"},
		{"a writable image", manifestFile, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "readOnlyRootFilesystem"},
		{"a capability", manifestFile, "drop: [ALL]", "drop: [NET_RAW]", "capabilities"},
		{"a token for the API server", manifestFile, "automountServiceAccountToken: false", "automountServiceAccountToken: true", "automountServiceAccountToken"},
		{"services in the environment", manifestFile, "enableServiceLinks: false", "enableServiceLinks: true", "enableServiceLinks"},
		{"an image without a tag", manifestFile, "image: wasmton-example:dev", "image: wasmton-example", "has no tag"},
		{"a module that is not in the image", manifestFile, "- /processor.wasm", "- /tasks.wasm", "/tasks.wasm"},
		{"a module that is not in the example's image", exampleDockerfileFile, "processor.wasm /processor.wasm", "processor.wasm /tasks.wasm", exampleDockerfileFile},
		{"a directory that nothing is mounted on", manifestFile, "mountPath: /data", "mountPath: /messages", "/data"},
		{"a volume without a bound", manifestFile, "          emptyDir:\n            sizeLimit: 64Mi\n", "          emptyDir: {}\n", "sizeLimit"},
		{"a volume that is not there", manifestFile, "      volumes:\n        - name: data", "      volumes:\n        - name: date", "volume"},
		{"more instances than the memory holds", manifestFile, "- --max-instances=4\n", "- --max-instances=40\n", "memory"},
		{"larger instances than the memory holds", manifestFile, "- --memory-limit=64MiB\n", "- --memory-limit=640MiB\n", "memory"},
		{"a larger heap than the memory holds", manifestFile, "value: 384MiB", "value: 640MiB", "memory"},
		{"a heap that is none", manifestFile, "value: 384MiB", "value: 384Mi", "GOMEMLIMIT"},
		{"no memory limit", manifestFile, "            limits:\n              memory: 768Mi\n", "            limits:\n", "memory"},
		{"less memory asked for than taken", manifestFile, "              cpu: 250m\n              memory: 768Mi\n", "              cpu: 250m\n              memory: 256Mi\n", "memory"},
		{"a CPU limit", manifestFile, "            limits:\n", "            limits:\n              cpu: 1\n", "CPU"},
		{"a flag that does not exist", manifestFile, "- --max-instances=4\n", "- --max-instances=4\n            - --instances=4\n", "unknown flag --instances"},
		{"a value that is none", manifestFile, "--log-format=json", "--log-format=xml", "log-format"},
	})
}

// decodeManifest decodes each document strictly, as the API server does under
// --validate=strict: no unknown field, no field twice, exact case.
func decodeManifest(text string) ([]k8sruntime.Object, error) {
	scheme := k8sruntime.NewScheme()
	for _, add := range []func(*k8sruntime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var objects []k8sruntime.Object
	for documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

func checkKubernetes(t *testing.T, f files) problems {
	var p problems
	objects, err := decodeManifest(f[manifestFile])
	if err != nil {
		p.addf("%s: %v", manifestFile, err)
		return p
	}
	var deployment *appsv1.Deployment
	var budget *policyv1.PodDisruptionBudget
	for _, object := range objects {
		switch o := object.(type) {
		case *appsv1.Deployment:
			deployment = o
		case *policyv1.PodDisruptionBudget:
			budget = o
		default:
			p.addf("%s: a %T: no rule for it here", manifestFile, object)
		}
	}
	if deployment == nil || budget == nil {
		p.addf("%s: want a Deployment and a PodDisruptionBudget", manifestFile)
		return p
	}
	m := &manifest{problems: &p, pod: deployment.Spec.Template.Spec, files: f}
	if len(m.pod.Containers) != 1 {
		p.addf("%s: want one container", manifestFile)
		return p
	}
	m.container = m.pod.Containers[0]
	if m.in, err = parseInvocation(m.container.Args); err != nil {
		p.addf("args: %v", err)
		return p
	}
	m.checkLabels(deployment, budget)
	m.checkLifecycle(deployment)
	m.checkProbes()
	m.checkSecurity()
	m.checkMemory()
	m.checkModule()
	var env []string
	for _, v := range m.container.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	if err := accepts(t, env, m.container.Args); err != nil {
		p.addf("args and env: %v", err)
	}
	return p
}

// manifest is a Deployment that is being checked.
type manifest struct {
	*problems
	pod       corev1.PodSpec
	container corev1.Container
	in        invocation
	files     files
}

const labelPrefix = "app.kubernetes.io/"

func (m *manifest) checkLabels(d *appsv1.Deployment, b *policyv1.PodDisruptionBudget) {
	pod := d.Spec.Template.Labels
	for _, set := range []map[string]string{d.Labels, pod, b.Labels, d.Spec.Selector.MatchLabels, b.Spec.Selector.MatchLabels} {
		for _, err := range metav1validation.ValidateLabels(set, field.NewPath("labels")) {
			m.addf("%v", err)
		}
	}
	for _, name := range []string{"name", "instance", "component", "part-of", "managed-by"} {
		if v := pod[labelPrefix+name]; v == "" || d.Labels[labelPrefix+name] != v || b.Labels[labelPrefix+name] != v {
			m.addf("label %s%s is %q of the pods, %q of the Deployment, %q of the budget", labelPrefix, name, v, d.Labels[labelPrefix+name], b.Labels[labelPrefix+name])
		}
	}
	if v := pod[labelPrefix+"version"]; v == "" || d.Labels[labelPrefix+"version"] != v {
		m.addf("label %sversion is %q of the pods, %q of the Deployment", labelPrefix, v, d.Labels[labelPrefix+"version"])
	}
	if pod[labelPrefix+"instance"] != m.in.flags["group"] {
		m.addf("label %sinstance is %q, the group is %q", labelPrefix, pod[labelPrefix+"instance"], m.in.flags["group"])
	}
	if !matches(d.Spec.Selector, pod) {
		m.addf("the Deployment's selector does not select its pods")
	}
	if _, ok := d.Spec.Selector.MatchLabels[labelPrefix+"version"]; ok {
		m.addf("the Deployment's selector has the version, which a rollout could not change")
	}
	if !matches(b.Spec.Selector, pod) || !maps.Equal(b.Spec.Selector.MatchLabels, d.Spec.Selector.MatchLabels) {
		m.addf("the budget's selector is not the Deployment's")
	}
	if b.Spec.MaxUnavailable == nil || *b.Spec.MaxUnavailable != intstr.FromInt32(1) || b.Spec.MinAvailable != nil {
		m.addf("the budget must let one pod go at a time")
	}
	if policy := b.Spec.UnhealthyPodEvictionPolicy; policy == nil || *policy != policyv1.AlwaysAllow {
		m.addf("the budget must let unhealthy pods go always")
	}
}

func matches(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(set))
}

// checkLifecycle checks how pods come and go.
func (m *manifest) checkLifecycle(d *appsv1.Deployment) {
	drain, err := time.ParseDuration(m.in.flags["drain-timeout"])
	if err != nil {
		m.addf("--drain-timeout: %v", err)
	}
	if grace := m.pod.TerminationGracePeriodSeconds; grace == nil || time.Duration(*grace)*time.Second <= drain {
		m.addf("terminationGracePeriodSeconds must be more than the drain's %v", drain)
	}
	if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
		m.addf("a group of one pod is none")
	}
	rolling := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || rolling == nil {
		m.addf("the strategy is not RollingUpdate")
		return
	}
	if rolling.MaxSurge == nil || rolling.MaxSurge.String() != "100%" {
		m.addf("maxSurge must be 100%%, so that new pods join together")
	}
	if rolling.MaxUnavailable == nil || rolling.MaxUnavailable.String() != "0" {
		m.addf("maxUnavailable must be 0, so that old pods go once new ones are in the group")
	}
}

// slowestStart is what a large module may take to compile on a busy node.
const slowestStart = time.Minute

func (m *manifest) checkProbes() {
	var metrics []corev1.ContainerPort
	for _, port := range m.container.Ports {
		if port.Name == "metrics" {
			metrics = append(metrics, port)
		}
	}
	if len(metrics) != 1 || m.in.flags["metrics-addr"] != ":"+strconv.Itoa(int(metrics[0].ContainerPort)) {
		m.addf("no port named metrics is that of --metrics-addr=%s", m.in.flags["metrics-addr"])
	}
	for _, probe := range []struct {
		name, path string
		*corev1.Probe
	}{
		{"startup", "/livez", m.container.StartupProbe},
		{"liveness", "/livez", m.container.LivenessProbe},
		{"readiness", "/readyz", m.container.ReadinessProbe},
	} {
		if probe.Probe == nil || probe.HTTPGet == nil {
			m.addf("no %s probe over HTTP", probe.name)
			continue
		}
		if probe.HTTPGet.Path != probe.path || probe.HTTPGet.Port != intstr.FromString("metrics") {
			m.addf("the %s probe must ask %s on the port named metrics", probe.name, probe.path)
		}
	}
	if s := m.container.StartupProbe; s != nil && time.Duration(s.PeriodSeconds*s.FailureThreshold)*time.Second < slowestStart {
		m.addf("the startup probe gives up before %v", slowestStart)
	}
}

func (m *manifest) checkSecurity() {
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	if !is(m.pod.AutomountServiceAccountToken, false) {
		m.addf("automountServiceAccountToken must be false")
	}
	if !is(m.pod.EnableServiceLinks, false) {
		m.addf("enableServiceLinks must be false")
	}

	pod := m.pod.SecurityContext
	if pod == nil {
		m.addf("the pod has no securityContext")
		return
	}
	if !is(pod.RunAsNonRoot, true) {
		m.addf("runAsNonRoot must be true")
	}
	// The files that the image gives the processor are the image's user's.
	user := m.imageUser()
	if pod.RunAsUser == nil || strconv.FormatInt(*pod.RunAsUser, 10) != user {
		m.addf("runAsUser must be the image's %s", user)
	}
	if pod.RunAsGroup == nil || *pod.RunAsGroup == 0 {
		m.addf("runAsGroup must be set, and not root's")
	}
	if pod.FSGroup == nil || pod.RunAsGroup == nil || *pod.FSGroup != *pod.RunAsGroup {
		m.addf("fsGroup must be runAsGroup, or the processor can't write to its volume")
	}
	if pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		m.addf("the seccomp profile must be RuntimeDefault")
	}

	container := m.container.SecurityContext
	if container == nil {
		m.addf("the container has no securityContext")
		return
	}
	if !is(container.AllowPrivilegeEscalation, false) {
		m.addf("allowPrivilegeEscalation must be false")
	}
	if !is(container.ReadOnlyRootFilesystem, true) {
		m.addf("readOnlyRootFilesystem must be true")
	}
	if c := container.Capabilities; c == nil || !slices.Equal(c.Drop, []corev1.Capability{"ALL"}) || len(c.Add) > 0 {
		m.addf("capabilities must be dropped, ALL, and none added")
	}
}

// headroom is for what is neither a guest's memory nor Go's: wasmtime, compiled
// code, stacks.
const headroom = 64 << 20

// checkMemory wants room for every instance at its limit, and Go's heap at its own.
func (m *manifest) checkMemory() {
	instances, err := strconv.ParseInt(m.in.flags["max-instances"], 10, 64)
	if err != nil {
		m.addf("--max-instances: %v", err)
	}
	bytes := func(what, s string) int64 {
		q, err := resource.ParseQuantity(strings.TrimSuffix(s, "B")) // 64MiB is our 64Mi
		if err != nil {
			m.addf("%s=%s: %v", what, s, err)
		}
		return q.Value()
	}
	guest := bytes("--memory-limit", m.in.flags["memory-limit"])
	var heap int64
	for _, v := range m.container.Env {
		if v.Name == "GOMEMLIMIT" {
			heap = bytes(v.Name, v.Value)
		}
	}
	if heap == 0 {
		m.addf("no GOMEMLIMIT")
	}
	limits, requests := m.container.Resources.Limits, m.container.Resources.Requests
	if need := instances*guest + heap + headroom; limits.Memory().Value() < need {
		m.addf("the memory limit is %v; %d instances of %d bytes, GOMEMLIMIT and %d more are %d", limits.Memory(), instances, guest, headroom, need)
	}
	if !requests.Memory().Equal(*limits.Memory()) {
		m.addf("memory asked for is %v, taken may be %v", requests.Memory(), limits.Memory())
	}
	if requests.Cpu().IsZero() || !limits.Cpu().IsZero() {
		m.addf("CPU: want a request and no limit")
	}
}

// checkModule checks the image: that the module is in it, and that what is
// granted to the module is mounted.
func (m *manifest) checkModule() {
	if !pinned(m.container.Image) {
		m.addf("image %s has no tag that pins it", m.container.Image)
	}
	for file, stage := range map[string]string{dockerfileFile: "example", exampleDockerfileFile: ""} {
		d, err := parseDockerfile(m.files[file])
		if err != nil {
			m.addf("%s: %v", file, err)
			continue
		}
		s := d.last()
		if stage != "" {
			s = d.named(stage)
		}
		if s == nil || !d.has(s, m.in.processor) {
			m.addf("%s: no %s in the image", file, m.in.processor)
		}
	}

	dir, _, _ := strings.Cut(m.in.flags["dir"], "::")
	i := slices.IndexFunc(m.container.VolumeMounts, func(v corev1.VolumeMount) bool { return v.MountPath == dir })
	if i < 0 {
		m.addf("no volume is mounted on --dir's %s", dir)
		return
	}
	j := slices.IndexFunc(m.pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.container.VolumeMounts[i].Name })
	if j < 0 {
		m.addf("no volume %s for %s", m.container.VolumeMounts[i].Name, dir)
		return
	}
	volume := m.pod.Volumes[j].EmptyDir
	if volume == nil || volume.SizeLimit == nil {
		m.addf("volume %s must be an emptyDir with a sizeLimit", m.pod.Volumes[j].Name)
		return
	}
	if limit := m.container.Resources.Limits.StorageEphemeral(); limit.Cmp(*volume.SizeLimit) < 0 {
		m.addf("the ephemeral-storage limit of %v is less than volume %s may hold", limit, m.pod.Volumes[j].Name)
	}
}

// imageUser is the number of the user of the image that is deployed.
func (m *manifest) imageUser() string {
	d, err := parseDockerfile(m.files[dockerfileFile])
	if err != nil {
		m.addf("%s: %v", dockerfileFile, err)
		return ""
	}
	s := d.named("example")
	if s == nil {
		return ""
	}
	uid, _, _ := strings.Cut(d.user(s), ":")
	return uid
}
