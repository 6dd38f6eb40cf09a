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

{{/* Regular expression of the images that the admission policy lets in, any version of each: old runs keep their images. */}}
{{- define "fingpt.imagePattern" -}}
{{- $places := list -}}
{{- range $stage := list "prep" "train" "eval" -}}
{{- $image := include "fingpt.image" (list $ $stage) -}}
{{- $places = append $places (regexReplaceAll "(:[^:/@]+)?(@.+)?$" $image "" | regexQuoteMeta) -}}
{{- end -}}
{{- range .Values.admission.images -}}
{{- $places = append $places (print (regexQuoteMeta .) (ternary "[a-z0-9._/-]+" "" (hasSuffix "/" .))) -}}
{{- end -}}
^({{ $places | uniq | join "|" }})(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?$
{{- end }}

{{/* Claim that keeps base weights, nothing for an emptyDir. */}}
{{- define "fingpt.cacheClaim" -}}
{{- if .Values.cache.create }}fingpt-cache{{ else }}{{ .Values.cache.claim }}{{ end -}}
{{- end }}

{{/* Port of an endpoint as its URL says; takes the URL. */}}
{{- define "fingpt.port" -}}
{{- $url := urlParse . -}}
{{- $written := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "80" "443" (eq $url.scheme "http")) $written -}}
{{- end }}

{{/* Peers that follow from an endpoint's URL as JSON, nothing where it is a name of no Service; takes the URL. */}}
{{- define "fingpt.endpointPeers" -}}
{{- $host := (urlParse .).hostname -}}
{{- $namespace := regexReplaceAll "^[a-z0-9-]+\\.([a-z0-9-]+)\\.svc(\\..+)?$" $host "${1}" -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+){3}$" $host -}}
{{- list (dict "ipBlock" (dict "cidr" (print $host "/32"))) | toJson -}}
{{- else if and $host (not (contains "." $host)) -}}
{{- list (dict "podSelector" dict) | toJson -}}
{{- else if and $host (ne $namespace $host) -}}
{{- list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $namespace))) | toJson -}}
{{- end -}}
{{- end }}

{{/* Peers of the S3 server as JSON: those of the values, or what follows from the endpoint. */}}
{{- define "fingpt.storePeers" -}}
{{- $follows := include "fingpt.endpointPeers" .Values.store.endpoint -}}
{{- if .Values.networkPolicy.store.to -}}
{{- toJson .Values.networkPolicy.store.to -}}
{{- else if $follows -}}
{{- $follows -}}
{{- else -}}
{{- printf "networkPolicy.store.to must say at which addresses the bucket answers, because %s is a name and a NetworkPolicy takes none: --set 'networkPolicy.store.to[0].ipBlock.cidr=52.216.0.0/15', or 0.0.0.0/0 for every public address; a Service of this cluster is found by itself as NAME.NAMESPACE.svc." ((urlParse .Values.store.endpoint).hostname | default "AWS") | fail -}}
{{- end -}}
{{- end }}

{{/* The same of the model hub, where an empty list means nobody; without an endpoint it is huggingface.co. */}}
{{- define "fingpt.hubPeers" -}}
{{- $follows := include "fingpt.endpointPeers" .Values.hub.endpoint -}}
{{- if not (kindIs "invalid" .Values.networkPolicy.hub.to) -}}
{{- toJson .Values.networkPolicy.hub.to -}}
{{- else if not .Values.hub.endpoint -}}
{{- list (dict "ipBlock" (dict "cidr" "0.0.0.0/0")) | toJson -}}
{{- else if $follows -}}
{{- $follows -}}
{{- else -}}
{{- printf "networkPolicy.hub.to must say at which addresses the hub answers, because %s is a name and a NetworkPolicy takes none: --set 'networkPolicy.hub.to[0].ipBlock.cidr=10.1.2.3/32', or 0.0.0.0/0 for every public address; a Service of this cluster is found by itself as NAME.NAMESPACE.svc." (urlParse .Values.hub.endpoint).hostname | fail -}}
{{- end -}}
{{- end }}

{{/* The network part of a CIDR as 0s and 1s after its family, 4 or 6: one range lies within another whose bits begin its own. */}}
{{- define "fingpt.bits" -}}
{{- $hex := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111" "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" -}}
{{- $six := contains ":" . -}}
{{- $parts := splitList "/" (lower .) -}}
{{- $ends := list -}}
{{- range splitList "::" (first $parts) -}}
{{- $bits := "" -}}
{{- range without (splitList (ternary ":" "." $six) .) "" -}}
{{- if $six -}}
{{- range splitList "" (trunc -4 (print "0000" .)) }}{{ $bits = print $bits (get $hex .) }}{{ end -}}
{{- else -}}
{{- $bits = printf "%s%08b" $bits (int .) -}}
{{- end -}}
{{- end -}}
{{- $ends = append $ends $bits -}}
{{- end -}}
{{- $missing := sub (ternary 128 32 $six) (len (join "" $ends)) -}}
{{- printf "%s%s" (ternary "6" "4" $six) (join (repeat (int $missing) "0") $ends | trunc (int (last $parts))) -}}
{{- end }}

{{/* The key `to` of an egress rule; takes a list of peers. A block gets exceptions for what lies within it: private ranges
     unless `except` is given, link-local ones always. A block that is such a range or a part of one stays as it is. */}}
{{- define "fingpt.peers" -}}
{{- $private := list "0.0.0.0/8" "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.168.0.0/16" "224.0.0.0/3" "::1/128" "64:ff9b::/96" "fc00::/7" "fe80::/10" "ff00::/8" -}}
{{- $local := list "169.254.0.0/16" "fe80::/10" "fd00:ec2::254/128" "64:ff9b::a9fe:0/112" -}}
{{- range $peer := . }}
{{- with .ipBlock }}
{{- $block := include "fingpt.bits" .cidr }}
{{- $except := .except | default list }}
{{- range hasKey . "except" | ternary $local (concat $private $local) }}
{{- $bits := include "fingpt.bits" . }}
{{- $wanted := and (hasPrefix $block $bits) (ne $block $bits) }}
{{- range $except }}
{{- $wanted = and $wanted (not (hasPrefix (include "fingpt.bits" .) $bits)) }}
{{- end }}
{{- $except = ternary (append $except .) $except $wanted }}
{{- end }}
{{- $peer = dict "ipBlock" (dict "cidr" .cidr) }}
{{- if $except }}{{ $_ := set $peer.ipBlock "except" $except }}{{ end }}
{{- end }}
- {{ toJson $peer }}
{{- end }}
{{- end }}

{{/* Refuses a key or token among the values, also when the schema was skipped. */}}
{{- define "fingpt.refuseKeys" -}}
{{- range $section, $known := dict "store" (list "uri" "endpoint" "region" "secret") "hub" (list "endpoint" "secret") "forecast" (list "enabled" "runs" "watchlist" "sources" "secret" "keys" "certificates" "ledger" "schedule") }}
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
{{- if contains "@" .Values.hub.endpoint }}
{{- fail "hub.endpoint must hold no user name or password: put the hub's token into a Secret and name it as hub.secret." }}
{{- end }}
{{- end }}

{{/* A container of the weekly forecasts, all of the image of prep; takes (list root (dict name command amounts token sources)). */}}
{{- define "fingpt.forecastContainer" -}}
{{- $root := index . 0 }}
{{- $one := index . 1 }}
{{- $forecast := $root.Values.forecast }}
- name: {{ $one.name }}
  image: {{ include "fingpt.image" (list $root "prep") | quote }}
  imagePullPolicy: {{ $root.Values.images.pullPolicy }}
  command: {{ concat (list "tini" "--" "python" "-m") $one.command | toJson }}
  env:
    - name: FINGPT_STORE
      value: {{ $root.Values.store.uri | quote }}
    - name: AWS_REGION
      value: {{ $root.Values.store.region | quote }}
    {{- with $root.Values.store.endpoint }}
    - name: AWS_ENDPOINT_URL
      value: {{ . | quote }}
    {{- end }}
    {{- if $root.Values.store.secret }}
    - name: AWS_SHARED_CREDENTIALS_FILE
      value: /var/run/secrets/s3/credentials
    {{- end }}
    - name: HOME
      value: /scratch
    - name: TMPDIR
      value: /scratch
    # Tells the process that it is in a pod, and where.
    - name: FINGPT_NODE
      valueFrom:
        fieldRef:
          fieldPath: spec.nodeName
    - name: FINGPT_ARG_RUNS
      value: {{ join " " $forecast.runs | quote }}
    - name: FINGPT_ARG_LEDGER
      value: {{ $forecast.ledger | quote }}
    - name: FINGPT_ARG_WATCHLIST
      value: /etc/fingpt/watchlist.txt
    - name: FINGPT_ARG_SOURCES
      value: /etc/fingpt/sources.yaml
    {{- if $one.sources }}
    {{- range $forecast.keys }}
    - name: FINGPT_{{ upper . }}_KEY_FILE
      value: /var/run/secrets/sources/{{ . }}
    {{- end }}
    {{- if $forecast.certificates }}
    - name: SSL_CERT_FILE
      value: /etc/sources/ca.crt
    {{- end }}
    {{- end }}
  resources:
    requests: &resources-{{ $one.name }}
      cpu: {{ $one.amounts.cpu | quote }}
      memory: {{ $one.amounts.memory | quote }}
      ephemeral-storage: {{ $one.amounts.ephemeral | quote }}
    limits: *resources-{{ $one.name }}
  securityContext:
    allowPrivilegeEscalation: false
    privileged: false
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    capabilities:
      drop: [ALL]
    seccompProfile:
      type: RuntimeDefault
  terminationMessagePath: /dev/termination-log
  terminationMessagePolicy: FallbackToLogsOnError
  volumeMounts:
    - name: scratch
      mountPath: /scratch
    - name: tmp
      mountPath: /tmp
    - name: settings
      mountPath: /etc/fingpt
      readOnly: true
    {{- if $one.token }}
    - name: token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- end }}
    {{- if $root.Values.store.secret }}
    - name: s3
      mountPath: /var/run/secrets/s3
      readOnly: true
    {{- end }}
    {{- if and $one.sources $forecast.keys }}
    - name: keys
      mountPath: /var/run/secrets/sources
      readOnly: true
    {{- end }}
    {{- if and $one.sources $forecast.certificates }}
    - name: certificates
      mountPath: /etc/sources
      readOnly: true
    {{- end }}
{{- end }}
