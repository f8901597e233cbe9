{{/*
Names are fixed: two operators in a cluster would not know of each other's lease, so a second release is refused (_validate.tpl).
*/}}
{{- define "workload-identity-operator.namespace" -}}
{{ .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{- define "workload-identity-operator.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default "workload-identity-operator" }}
{{- end }}

{{/*
What selectors rest on. No user's label takes the place of these.
*/}}
{{- define "workload-identity-operator.selectorLabels" -}}
app.kubernetes.io/name: workload-identity-operator
{{- end }}

{{- define "workload-identity-operator.fixedLabels" -}}
{{ include "workload-identity-operator.selectorLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
The labels of every object: commonLabels win over what only informs, and the chart over them in what something rests on.
*/}}
{{- define "workload-identity-operator.labels" -}}
{{- $fixed := include "workload-identity-operator.fixedLabels" . | fromYaml }}
{{- $_ := set $fixed "app.kubernetes.io/managed-by" .Release.Service }}
{{- $informing := dict
      "app.kubernetes.io/version" .Chart.AppVersion
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_") }}
{{- mergeOverwrite $informing .Values.commonLabels $fixed | toYaml }}
{{- end }}

{{/*
Labels of one kind of object beside those of every object: (list . .Values.service.labels).
*/}}
{{- define "workload-identity-operator.labelsWith" -}}
{{- $root := first . }}
{{- $fixed := include "workload-identity-operator.labels" $root | fromYaml }}
{{- merge (dict) (include "workload-identity-operator.fixedLabels" $root | fromYaml) (last . | default dict) $fixed | toYaml }}
{{- end }}

{{/*
The labels of the pod. The operator gets its own tokens as every workload does.
*/}}
{{- define "workload-identity-operator.podLabels" -}}
{{- $fixed := include "workload-identity-operator.fixedLabels" . | fromYaml }}
{{- $_ := set $fixed "azure.workload.identity/use" "true" }}
{{- mergeOverwrite (dict) .Values.commonLabels .Values.podLabels $fixed | toYaml }}
{{- end }}

{{- define "workload-identity-operator.podAnnotations" -}}
{{- $ours := dict
      "kubectl.kubernetes.io/default-container" "operator"
      "checksum/settings" (include (print .Template.BasePath "/settings.yaml") . | sha256sum) }}
{{- mergeOverwrite (dict) .Values.podAnnotations $ours | toYaml }}
{{- end }}

{{/*
The annotations of the definitions. With crds.keep neither Helm nor Flux nor Argo CD takes them away, and with them every binding, when they
leave what it applies. Argo CD's options beside ours are kept.
*/}}
{{- define "workload-identity-operator.crdAnnotations" -}}
{{- $annotations := deepCopy .Values.crds.annotations }}
{{- if .Values.crds.keep }}
{{- $options := get $annotations "argocd.argoproj.io/sync-options" | splitList "," }}
{{- $options := concat (list "Prune=false" "Delete=false") (without $options "" "Prune=false" "Delete=false") }}
{{- $_ := set $annotations "argocd.argoproj.io/sync-options" (join "," $options) }}
{{- $_ := set $annotations "kustomize.toolkit.fluxcd.io/prune" "disabled" }}
{{- $_ := set $annotations "helm.sh/resource-policy" "keep" }}
{{- else }}
{{- $_ := unset $annotations "helm.sh/resource-policy" }}
{{- end }}
{{- with $annotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/*
In which namespaces the operator acts, in words; nothing when it acts in all.
*/}}
{{- define "workload-identity-operator.acts" -}}
{{- with .Values.watchNamespaces -}}
{{ len . | eq 1 | ternary "namespace" "namespaces" }} {{ include "workload-identity-operator.some" . }} alone
{{- end }}
{{- with .Values.excludeNamespaces -}}
all namespaces but {{ include "workload-identity-operator.some" . }}
{{- end }}
{{- end }}

{{/*
Names in words, and of many the first ten.
*/}}
{{- define "workload-identity-operator.some" -}}
{{- if gt (len .) 10 -}}
{{ slice . 0 10 | join ", " }} and {{ sub (len .) 10 }} more
{{- else -}}
{{ join ", " . }}
{{- end }}
{{- end }}

{{/*
The image. What stands before the first slash is a registry when it is localhost or has a dot or a port.
*/}}
{{- define "workload-identity-operator.image" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.global.imageRegistry }}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "") }}
{{- end }}
{{- if .Values.image.digest -}}
{{ $repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/*
Names of secrets, as objects or, as older versions had them, as strings, each once.
*/}}
{{- define "workload-identity-operator.imagePullSecrets" -}}
{{- $names := list }}
{{- range concat .Values.imagePullSecrets .Values.global.imagePullSecrets }}
{{- $names = append $names (kindIs "map" . | ternary . (dict "name" .)).name }}
{{- end }}
{{- range uniq $names }}
- name: {{ . }}
{{- end }}
{{- end }}

{{/*
On OpenShift the namespace's own range of users is taken.
*/}}
{{- define "workload-identity-operator.podSecurityContext" -}}
{{- $openshift := eq (toString .Values.openshift) "true" }}
{{- if eq (toString .Values.openshift) "auto" }}
{{- $openshift = .Capabilities.APIVersions.Has "security.openshift.io/v1" }}
{{- end }}
{{- $context := .Values.podSecurityContext }}
{{- if $openshift }}
{{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{- define "workload-identity-operator.trustsMore" -}}
{{- if or .Values.trustedCertificates.configMap .Values.trustedCertificates.secret }}true{{ end }}
{{- end }}

{{/*
Variables of the container. One of extraEnv takes the place of the chart's of the same name.
*/}}
{{- define "workload-identity-operator.env" -}}
{{- $names := list }}
{{- range .Values.extraEnv }}{{ $names = append $names .name }}{{ end }}
{{- $env := list
      (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))
      (dict "name" "WIO_LEASE_NAMESPACE" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.namespace"))) }}
{{- with .Values.proxy.https }}{{ $env = append $env (dict "name" "HTTPS_PROXY" "value" .) }}{{ end }}
{{- with .Values.proxy.noProxy }}{{ $env = append $env (dict "name" "NO_PROXY" "value" (join "," .)) }}{{ end }}
{{- if include "workload-identity-operator.trustsMore" . }}
{{- $env = append $env (dict "name" "SSL_CERT_DIR" "value" "/etc/workload-identity-operator/trusted") }}
{{- if not .Values.trustedCertificates.only }}
{{- $env = append $env (dict "name" "SSL_CERT_FILE" "value" "/etc/ssl/certs/ca-certificates.crt") }}
{{- end }}
{{- end }}
{{- $all := list }}
{{- range $env }}{{ if not (has .name $names) }}{{ $all = append $all . }}{{ end }}{{ end }}
{{- concat $all .Values.extraEnv | toYaml }}
{{- end }}

{{- define "workload-identity-operator.volumes" -}}
{{- $names := list }}
{{- range .Values.volumes }}{{ $names = append $names .name }}{{ end }}
{{- $all := list }}
{{- if and (include "workload-identity-operator.trustsMore" .) (not (has "trusted-certificates" $names)) }}
{{- $from := .Values.trustedCertificates }}
{{- $items := list (dict "key" $from.key "path" "ca.crt") }}
{{- $volume := dict "name" "trusted-certificates" }}
{{- if $from.configMap }}
{{- $_ := set $volume "configMap" (dict "name" $from.configMap "items" $items) }}
{{- else }}
{{- $_ := set $volume "secret" (dict "secretName" $from.secret "items" $items) }}
{{- end }}
{{- $all = append $all $volume }}
{{- end }}
{{- with concat $all .Values.volumes }}{{ toYaml . }}{{ end }}
{{- end }}

{{- define "workload-identity-operator.volumeMounts" -}}
{{- $path := "/etc/workload-identity-operator/trusted" }}
{{- $paths := list }}
{{- range .Values.volumeMounts }}{{ $paths = append $paths (clean .mountPath) }}{{ end }}
{{- $all := list }}
{{- if and (include "workload-identity-operator.trustsMore" .) (not (has $path $paths)) }}
{{- $all = append $all (dict "name" "trusted-certificates" "mountPath" $path "readOnly" true) }}
{{- end }}
{{- with concat $all .Values.volumeMounts }}{{ toYaml . }}{{ end }}
{{- end }}

{{/*
Constraints that name no pods are of the operator's own.
*/}}
{{- define "workload-identity-operator.topologySpreadConstraints" -}}
{{- $ours := dict "labelSelector" (dict "matchLabels" (include "workload-identity-operator.selectorLabels" . | fromYaml)) }}
{{- $all := list }}
{{- range .Values.topologySpreadConstraints }}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (mergeOverwrite (deepCopy .) $ours)) }}
{{- end }}
{{- with $all }}{{ toYaml . }}{{ end }}
{{- end }}
