{{/*
What is wrong with the values, all of it at once and in words. The schema knows types and names; here is what a value must mean.
*/}}
{{- define "workload-identity-operator.validate" -}}
{{- $wrong := list }}
{{- range list "azure" "identities" "operator" "namespaces" "pod" "installation" }}
{{- $wrong = concat $wrong (include (print "workload-identity-operator.wrong." .) $ | fromJsonArray) }}
{{- end }}
{{- with $wrong }}
{{- printf "the chart cannot be installed so:\n  - %s\n" (join "\n  - " .) | fail }}
{{- end }}
{{- end }}

{{- define "workload-identity-operator.guid" -}}
^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$
{{- end }}

{{/*
Where identities are created.
*/}}
{{- define "workload-identity-operator.wrong.azure" -}}
{{- $wrong := list }}
{{- $guid := include "workload-identity-operator.guid" . }}
{{- with .Values.azure }}
{{- if not .subscriptionId }}
{{- $wrong = append $wrong "azure.subscriptionId is not set: it is the subscription in which identities are created (az account show --query id)" }}
{{- else if not (regexMatch $guid .subscriptionId) }}
{{- $wrong = append $wrong (printf "azure.subscriptionId is %q: write the subscription's GUID, not its name (az account show --query id)" .subscriptionId) }}
{{- end }}
{{- if not .resourceGroup }}
{{- $wrong = append $wrong "azure.resourceGroup is not set: it is the resource group in which identities are created, and must exist" }}
{{- else if contains "/" .resourceGroup }}
{{- $wrong = append $wrong (printf "azure.resourceGroup is %q: write the group's name alone, %s" .resourceGroup (base .resourceGroup)) }}
{{- else if or (hasSuffix "." .resourceGroup) (gt (len .resourceGroup) 90) (not (regexMatch "^[-\\pL\\pN._()]+$" .resourceGroup)) }}
{{- $wrong = append $wrong (printf "azure.resourceGroup is %q: a resource group's name has 1 to 90 letters, digits and -_.(), and no dot at its end" .resourceGroup) }}
{{- end }}
{{- if not .location }}
{{- $wrong = append $wrong "azure.location is not set: it is the region of the identities, for example westeurope" }}
{{- else if not (regexMatch "^[a-z0-9]+$" .location) }}
{{- $wrong = append $wrong (printf "azure.location is %q: write %s" .location (regexReplaceAll "[^a-z0-9]" (lower .location) "" | default "westeurope")) }}
{{- end }}
{{- if not .clientId }}
{{- $wrong = append $wrong "azure.clientId is not set: it is the client id of the operator's own managed identity (az identity show --query clientId)" }}
{{- else if not (regexMatch $guid .clientId) }}
{{- $wrong = append $wrong (printf "azure.clientId is %q: write the identity's client id, a GUID (az identity show --query clientId)" .clientId) }}
{{- end }}
{{- $clouds := dict "azurecloud" "public" "azurepublic" "public" "azurepubliccloud" "public" "azureusgovernment" "usgov" "azureusgovernmentcloud" "usgov" "usgovernment" "usgov" "azurechinacloud" "china" "azurechina" "china" "mooncake" "china" }}
{{- if not (has .cloud (list "" "public" "usgov" "china")) }}
{{- $wrong = append $wrong (printf "azure.cloud is %q: write %s" .cloud (get $clouds (lower .cloud) | default "public, usgov or china")) }}
{{- end }}
{{- if and .armEndpoint (not (regexMatch "^https://[^/@?#]+/?$" .armEndpoint)) }}
{{- $wrong = append $wrong (printf "azure.armEndpoint is %q: write https://<host>, perhaps with a port, and nothing after that" .armEndpoint) }}
{{- end }}
{{- if and .apiVersion (not (regexMatch "^[0-9]{4}-[0-9]{2}-[0-9]{2}(-preview)?$" .apiVersion)) }}
{{- $wrong = append $wrong (printf "azure.apiVersion is %q: write a date such as 2023-01-31, perhaps with -preview" .apiVersion) }}
{{- end }}
{{- if or (gt (len .audience) 600) (regexMatch "[\\s*]" .audience) }}
{{- $wrong = append $wrong (printf "azure.audience is %q: write at most 600 characters without spaces and stars, such as api://AzureADTokenExchange" .audience) }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
Lists of names in Azure and of issuers.
*/}}
{{- define "workload-identity-operator.wrong.identities" -}}
{{- $wrong := list }}
{{- range .Values.azure.protectedIdentities }}
{{- if not (regexMatch "(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.ManagedIdentity/userAssignedIdentities/[-\\w]+$" .) }}
{{- $wrong = append $wrong (printf "azure.protectedIdentities has %q: write the identity's resource id, /subscriptions/<GUID>/resourceGroups/<name>/providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name> (az identity show --query id)" .) }}
{{- end }}
{{- end }}
{{- range .Values.azure.protectedResourceGroups }}
{{- if not (regexMatch "(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+$" .) }}
{{- $wrong = append $wrong (printf "azure.protectedResourceGroups has %q: write the group's id, /subscriptions/<GUID>/resourceGroups/<name> (az group show --query id)" .) }}
{{- end }}
{{- end }}
{{- with .Values.azure.clusterId }}
{{- if not (regexMatch "(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/]+/providers/Microsoft.ContainerService/managedClusters/[-\\w]+$" .) }}
{{- $wrong = append $wrong (printf "azure.clusterId is %q: write the cluster's resource id, /subscriptions/<GUID>/resourceGroups/<name>/providers/Microsoft.ContainerService/managedClusters/<name> (az aks show --query id)" .) }}
{{- end }}
{{- end }}
{{- range .Values.azure.unlockedRoles }}
{{- if contains "," . }}
{{- $wrong = append $wrong (printf "azure.unlockedRoles has %q: write each role as an item of its own" .) }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.azure.defaultTags }}
{{- if or (contains "," $name) (contains "=" $name) (contains "," (toString $value)) }}
{{- $wrong = append $wrong (printf "azure.defaultTags has %q: a name without ',' and '=' and a value without ',' are possible here" $name) }}
{{- end }}
{{- if hasPrefix "workloadidentity.dev" (lower $name) }}
{{- $wrong = append $wrong (printf "azure.defaultTags has %q: names that begin with workloadidentity.dev are the operator's own" $name) }}
{{- end }}
{{- end }}
{{- range .Values.azure.ignoredTags }}
{{- if or (contains "," .) (eq . "*") (hasPrefix "workloadidentity.dev" (lower .)) }}
{{- $wrong = append $wrong (printf "azure.ignoredTags has %q: write a tag's name, or how names begin and '*', each as an item of its own; the operator's own tags, which begin with workloadidentity.dev, cannot be ignored" .) }}
{{- end }}
{{- end }}
{{- range .Values.cluster.formerIssuers }}
{{- if not (regexMatch "^https?://[^\\s,*]+$" .) }}
{{- $wrong = append $wrong (printf "cluster.formerIssuers has %q: write the issuer's URL, as tokens have it in iss, with its slash at the end if it has one" .) }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
The operator's own settings.
*/}}
{{- define "workload-identity-operator.wrong.operator" -}}
{{- $wrong := list }}
{{- with .Values.operator }}
{{- $ranges := dict "driftInterval" (list "30m" 60 604800 "1m to 7d") "sweepInterval" (list "6h" 60 604800 "1m to 7d") "leaseDuration" (list "30s" 3 300 "3s to 5m") }}
{{- range $name, $range := $ranges }}
{{- $value := index $.Values.operator $name | toString }}
{{- $seconds := include "workload-identity-operator.seconds" $value | int64 }}
{{- if or (lt $seconds (index $range 1 | int64)) (gt $seconds (index $range 2 | int64)) }}
{{- $wrong = append $wrong (printf "operator.%s is %q: write whole numbers with d, h, m or s, such as %s or 1m30s, from %s" $name $value (index $range 0) (index $range 3)) }}
{{- end }}
{{- end }}
{{- if or (lt (int .concurrency) 1) (gt (int .concurrency) 65535) }}
{{- $wrong = append $wrong (printf "operator.concurrency is %d: write a number from 1 to 65535" (int .concurrency)) }}
{{- end }}
{{- if or (not .log) (contains "==" .log) }}
{{- $wrong = append $wrong (printf "operator.log is %q: write error, warn, info, debug or trace, or directives such as info,wio_azure=debug" .log) }}
{{- end }}
{{- if not (has .logFormat (list "json" "text")) }}
{{- $wrong = append $wrong (printf "operator.logFormat is %q: write json or text" .logFormat) }}
{{- end }}
{{- if or (lt (int .port) 1) (gt (int .port) 65535) }}
{{- $wrong = append $wrong (printf "operator.port is %d: write a port from 1 to 65535" (int .port)) }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
A duration in seconds, such as 5400 of 1h30m; -1 of what is none.
*/}}
{{- define "workload-identity-operator.seconds" -}}
{{- if and . (regexMatch "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?$" .) -}}
{{- $seconds := 0 -}}
{{- range $unit, $worth := dict "d" 86400 "h" 3600 "m" 60 "s" 1 -}}
{{- $seconds = regexFind (print "[0-9]+" $unit) $ | trimSuffix $unit | int64 | mul $worth | add $seconds -}}
{{- end -}}
{{ $seconds }}
{{- else -}}
-1
{{- end -}}
{{- end }}

{{/*
Where it acts. `--set watchNamespaces=shop` makes a text, and 123 and on are no texts: the schema lets them come here, where it can be said what to write.
*/}}
{{- define "workload-identity-operator.wrong.namespaces" -}}
{{- $wrong := list }}
{{- range $field := list "watchNamespaces" "excludeNamespaces" }}
{{- $value := index $.Values $field }}
{{- if kindIs "string" $value }}
{{- with $value }}
{{- $wrong = append $wrong (printf "%s is %q, and no list: write %s: [%s], or --set '%s={%s}'" $field . $field . $field .) }}
{{- end }}
{{- else }}
{{- $before := list }}
{{- range $name := $value }}
{{- if not (kindIs "string" $name) }}
{{- $wrong = append $wrong (printf "%s has %v, which is no text in YAML: write it in quotes, \"%v\"" $field $name $name) }}
{{- else if has $name $before }}
{{- $wrong = append $wrong (printf "%s has %q twice: write it once" $field $name) }}
{{- else if contains "*" $name }}
{{- $wrong = append $wrong (printf "%s has %q: write the name of each namespace; * stands for none" $field $name) }}
{{- else if contains "," $name }}
{{- $wrong = append $wrong (printf "%s has %q: write each namespace as an item of its own" $field $name) }}
{{- else if or (gt (len $name) 63) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name)) }}
{{- $wrong = append $wrong (printf "%s has %q: write the namespace's name, at most 63 small letters, digits and -, as kubectl get namespaces shows it" $field $name) }}
{{- end }}
{{- $before = append $before $name }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.watchNamespaces .Values.excludeNamespaces }}
{{- $wrong = append $wrong "watchNamespaces and excludeNamespaces are both set: write the namespaces in which the operator acts, or those in which it does not, and leave the other empty" }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
The pod and what surrounds it.
*/}}
{{- define "workload-identity-operator.wrong.pod" -}}
{{- $wrong := list }}
{{- with .Values }}
{{- $replicas := int .replicas }}
{{- if or (lt $replicas 1) (gt $replicas 10) }}
{{- $wrong = append $wrong (printf "replicas is %d: write 1 to 10; to stop the operator for a while, scale its Deployment to 0 with kubectl" $replicas) }}
{{- end }}
{{- if .podDisruptionBudget.enabled }}
{{- $least := toString .podDisruptionBudget.minAvailable }}
{{- if or (eq $least "100%") (and (regexMatch "^[0-9]+$" $least) (ge (int $least) $replicas)) }}
{{- $wrong = append $wrong (printf "podDisruptionBudget.minAvailable is %s and replicas is %d: no node with a replica could be drained; write less, or use podDisruptionBudget.maxUnavailable" $least $replicas) }}
{{- else if and (eq $least "") (has (toString .podDisruptionBudget.maxUnavailable) (list "0" "0%" "")) }}
{{- $wrong = append $wrong "podDisruptionBudget.maxUnavailable is 0: no node with a replica could be drained; write 1, or podDisruptionBudget.enabled: false" }}
{{- end }}
{{- range $name, $value := pick .podDisruptionBudget "minAvailable" "maxUnavailable" }}
{{- if not (regexMatch "^([0-9]+%?)?$" (toString $value)) }}
{{- $wrong = append $wrong (printf "podDisruptionBudget.%s is %q: write a number of pods, or a share of them such as 50%%" $name (toString $value)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if or (lt (int .service.port) 1) (gt (int .service.port) 65535) }}
{{- $wrong = append $wrong (printf "service.port is %d: write a port from 1 to 65535" (int .service.port)) }}
{{- end }}
{{- with .serviceAccount.name }}
{{- if or (gt (len .) 253) (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" .)) }}
{{- $wrong = append $wrong (printf "serviceAccount.name is %q: write small letters, digits, - and dots, beginning and ending with a letter or digit" .) }}
{{- end }}
{{- end }}
{{- if and .image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .image.digest)) }}
{{- $wrong = append $wrong (printf "image.digest is %q: write sha256: and 64 hexadecimal digits" .image.digest) }}
{{- end }}
{{- if not .image.repository }}
{{- $wrong = append $wrong "image.repository is empty: write the registry and name of the image, without a tag" }}
{{- else if regexMatch "(:[^/]*|@.*)$" .image.repository }}
{{- $wrong = append $wrong (printf "image.repository is %q: write the tag into image.tag, or the digest into image.digest" .image.repository) }}
{{- end }}
{{- if and .global.imageRegistry (not (regexMatch "^[^/:]+(:[0-9]+)?(/[^/:]+)*$" .global.imageRegistry)) }}
{{- $wrong = append $wrong (printf "global.imageRegistry is %q: write the registry's host, perhaps with a port and a path, without https:// and without a slash at its end" .global.imageRegistry) }}
{{- end }}
{{- if not (has .image.pullPolicy (list "Always" "IfNotPresent" "Never")) }}
{{- $wrong = append $wrong (printf "image.pullPolicy is %q: write IfNotPresent, Always or Never" .image.pullPolicy) }}
{{- end }}
{{- if not (has (toString .openshift) (list "auto" "true" "false")) }}
{{- $wrong = append $wrong (printf "openshift is %q: write auto, true or false" (toString .openshift)) }}
{{- end }}
{{- if and .hostNetwork (eq (toString .hostUsers) "false") }}
{{- $wrong = append $wrong "hostUsers is false and hostNetwork is true: a pod in the network of the node has the users of the node; leave one of them out" }}
{{- end }}
{{- if not .automountServiceAccountToken }}
{{- $mounted := false }}
{{- range .volumes }}{{ range dig "projected" "sources" list . }}{{ $mounted = or $mounted (hasKey . "serviceAccountToken") }}{{ end }}{{ end }}
{{- if not $mounted }}
{{- $wrong = append $wrong "automountServiceAccountToken is false: the operator would have no token for the Kubernetes API; write true, or have volumes project one (serviceAccountToken, with the API's ca.crt and the namespace) and volumeMounts mount it at /var/run/secrets/kubernetes.io/serviceaccount" }}
{{- end }}
{{- end }}
{{- range .extraEnv }}
{{- if not .name }}
{{- $wrong = append $wrong (printf "extraEnv has an item without a name: %s" (toJson .)) }}
{{- else if has .name (list "POD_NAME" "WIO_LEASE_NAMESPACE") }}
{{- $wrong = append $wrong (printf "extraEnv has %s: it is the pod's own and cannot be set" .name) }}
{{- else if has .name (list "WIO_CLIENT_ID" "AZURE_CLIENT_ID") }}
{{- $wrong = append $wrong (printf "extraEnv has %s: set azure.clientId" .name) }}
{{- else if has .name (list "WIO_WATCH_NAMESPACES" "WIO_EXCLUDE_NAMESPACES") }}
{{- $wrong = append $wrong (printf "extraEnv has %s: set watchNamespaces or excludeNamespaces, by which its rights and the rules of admission go as well" .name) }}
{{- end }}
{{- end }}
{{- range .extraArgs }}
{{- if regexMatch "^--(watch|exclude)-namespaces(=|$)" (toString .) }}
{{- $wrong = append $wrong (printf "extraArgs has %s: set watchNamespaces or excludeNamespaces, by which its rights and the rules of admission go as well" .) }}
{{- end }}
{{- end }}
{{- if and .trustedCertificates.configMap .trustedCertificates.secret }}
{{- $wrong = append $wrong "trustedCertificates names a configMap and a secret: name one of them" }}
{{- end }}
{{- if and .proxy.https (not (regexMatch "^(https?|socks5)://[^/@]+/?$" .proxy.https)) }}
{{- if contains "@" .proxy.https }}
{{- $wrong = append $wrong "proxy.https has a password in it: put the URL into a secret of the release's namespace, and name it in extraEnv as HTTPS_PROXY with valueFrom.secretKeyRef" }}
{{- else }}
{{- $wrong = append $wrong (printf "proxy.https is %q: write http://<host>:<port>, or https:// or socks5://" .proxy.https) }}
{{- end }}
{{- end }}
{{- range $name, $_ := .commonLabels }}
{{- if hasPrefix "rbac.authorization.k8s.io/aggregate-to-" $name }}
{{- $wrong = append $wrong (printf "commonLabels has %s: it would give the operator's own rights to everybody who has that role" $name) }}
{{- end }}
{{- end }}
{{- if and .serviceMonitor.enabled (not .service.enabled) }}
{{- $wrong = append $wrong "serviceMonitor.enabled needs service.enabled: enable it, or use podMonitor" }}
{{- end }}
{{- if and .serviceMonitor.enabled .podMonitor.enabled }}
{{- $wrong = append $wrong "serviceMonitor.enabled and podMonitor.enabled: everything would be scraped twice; enable one of them" }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
What of it is in the cluster already. `helm template` sees no cluster, and says nothing here.
*/}}
{{- define "workload-identity-operator.wrong.installation" -}}
{{- $wrong := list }}
{{- if and (ne .Values.verification.default "None") (not .Values.verification.enabled) }}
{{- $wrong = append $wrong (printf "verification.default is %s, and no binding would be Ready by it without the right to mint tokens: set verification.enabled: true" .Values.verification.default) }}
{{- end }}
{{- if and .Values.rollouts.enabled (not .Values.workloads.enabled) }}
{{- $wrong = append $wrong "rollouts.enabled is true, and nobody would look which pods lack a token: set workloads.enabled: true" }}
{{- end }}
{{- range $name, $value := pick .Values "nameOverride" "fullnameOverride" }}
{{- if not (has $value (list "" $.Chart.Name)) }}
{{- $wrong = append $wrong (printf "%s is %q: leave it out; names are fixed, because a second operator of another name would not be seen and would work against this one (README, Names)" $name $value) }}
{{- end }}
{{- end }}
{{- if and .Values.rbac.create (kindIs "slice" .Values.watchNamespaces) (lookup "v1" "Namespace" "" "default") }}
{{- range .Values.watchNamespaces }}
{{- if not (lookup "v1" "Namespace" "" (toString .)) }}
{{- $wrong = append $wrong (printf "watchNamespaces has %q, and the cluster has no such namespace, in which the operator's rights would stand: make it first, or leave it out" (toString .)) }}
{{- end }}
{{- end }}
{{- end }}
{{- $here := printf "%s/%s" .Release.Namespace .Release.Name }}
{{- $theirs := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "workload-identity-operator" | include "workload-identity-operator.releaseOf" }}
{{- if and $theirs (ne $theirs $here) }}
{{- $wrong = append $wrong (printf "the operator is installed already, as release %s in namespace %s, and a cluster has one: upgrade that release, or uninstall it first" (base $theirs) (dir $theirs)) }}
{{- else if .Values.crds.enabled }}
{{- $owner := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "workloadidentitybindings.workloadidentity.dev" | include "workload-identity-operator.releaseOf" }}
{{- if and $owner (ne $owner $here) }}
{{- $wrong = append $wrong (printf "the CustomResourceDefinitions belong to release %s in namespace %s, which kept them and all bindings: install with that name and namespace, write crds.enabled: false, or hand them over (kubectl annotate --overwrite crd -l app.kubernetes.io/name=workload-identity-operator meta.helm.sh/release-name=%s meta.helm.sh/release-namespace=%s)" (base $owner) (dir $owner) .Release.Name .Release.Namespace) }}
{{- end }}
{{- end }}
{{- toJson $wrong }}
{{- end }}

{{/*
The release that an object in the cluster belongs to, as namespace/name; nothing where there is no object, or no release.
*/}}
{{- define "workload-identity-operator.releaseOf" -}}
{{- with dig "metadata" "annotations" "meta.helm.sh/release-name" "" . -}}
{{ dig "metadata" "annotations" "meta.helm.sh/release-namespace" "" $ }}/{{ . }}
{{- end }}
{{- end }}
