{{/* Names are fixed: fingpt/ and k8s/ know them, and a namespace holds one installation. */}}

{{/* Labels of every object of this release. */}}
{{- define "fingpt.labels" -}}
app.kubernetes.io/name: fingpt-jobs
{{ include "fingpt.ownerLabels" . }}
{{- end }}

{{/* The same without the name, for the test's Job, which must not pass for a run's. */}}
{{- define "fingpt.ownerLabels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/part-of: fingpt-jobs
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end }}

{{/* Image of a stage; takes (list root stage). */}}
{{- define "fingpt.image" -}}
{{- $root := index . 0 -}}
{{- $stage := index . 1 -}}
{{- $images := $root.Values.images -}}
{{- $folder := $images.registry | trimSuffix "/" -}}
{{- $built := printf "%sfingpt-%s:%s" (ternary (print $folder "/") "" (ne $folder "")) $stage (default $root.Chart.AppVersion $images.tag) -}}
{{- get $images $stage | default $built -}}
{{- end }}

{{/* Claim that keeps base weights, nothing for an emptyDir. */}}
{{- define "fingpt.cacheClaim" -}}
{{- if .Values.cache.create }}fingpt-cache{{ else }}{{ .Values.cache.claim }}{{ end -}}
{{- end }}

{{/* Port of the S3 server as its URL says. */}}
{{- define "fingpt.storePort" -}}
{{- $url := urlParse .Values.store.endpoint -}}
{{- $written := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "80" "443" (eq $url.scheme "http")) $written -}}
{{- end }}

{{/* Peers of the S3 server as JSON: those of the values, or what follows from the endpoint. */}}
{{- define "fingpt.storePeers" -}}
{{- $host := (urlParse .Values.store.endpoint).hostname -}}
{{- $namespace := regexReplaceAll "^[a-z0-9-]+\\.([a-z0-9-]+)\\.svc(\\..+)?$" $host "${1}" -}}
{{- if .Values.networkPolicy.store.to -}}
{{- toJson .Values.networkPolicy.store.to -}}
{{- else if regexMatch "^[0-9]+(\\.[0-9]+){3}$" $host -}}
{{- list (dict "ipBlock" (dict "cidr" (print $host "/32"))) | toJson -}}
{{- else if and $host (not (contains "." $host)) -}}
{{- list (dict "podSelector" dict) | toJson -}}
{{- else if and $host (ne $namespace $host) -}}
{{- list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $namespace))) | toJson -}}
{{- else -}}
{{- printf "networkPolicy.store.to must say at which addresses the bucket answers, because %s is a name and a NetworkPolicy takes none: --set 'networkPolicy.store.to[0].ipBlock.cidr=52.216.0.0/15', or 0.0.0.0/0 for every public address; a Service of this cluster is found by itself as NAME.NAMESPACE.svc." (default "AWS" $host) | fail -}}
{{- end -}}
{{- end }}

{{/* The key `to` of an egress rule; takes a list of peers. The whole world is the public one unless `except` is given. */}}
{{- define "fingpt.peers" -}}
{{- $private := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.168.0.0/16" "224.0.0.0/3" -}}
{{- range . }}
{{- $world := eq (dig "ipBlock" "cidr" "" .) "0.0.0.0/0" }}
{{- $peer := ternary (dict "ipBlock" (dict "cidr" "0.0.0.0/0" "except" (dig "ipBlock" "except" $private .))) . $world }}
- {{ toJson $peer }}
{{- end }}
{{- end }}

{{/* Refuses a key or token among the values, also when the schema was skipped. */}}
{{- define "fingpt.refuseKeys" -}}
{{- range $section, $known := dict "store" (list "uri" "endpoint" "region" "secret") "hub" (list "secret") }}
{{- $values := get $.Values $section }}
{{- range $key := without (keys $values | sortAlpha) "" }}
{{- if not (has $key $known) }}
{{- printf "%s.%s is no setting; keys and tokens are never values: put them into a Secret and name it as %s.secret." $section $key $section | fail }}
{{- end }}
{{- end }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$" (toString $values.secret)) }}
{{- printf "%s.secret must be the name of a Secret, in lower case, not what is in it." $section | fail }}
{{- end }}
{{- end }}
{{- if contains "@" (print .Values.store.uri .Values.store.endpoint) }}
{{- fail "store.uri and store.endpoint must hold no user name or password: put them into a Secret and name it as store.secret." }}
{{- end }}
{{- end }}
