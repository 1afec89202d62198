{{/* The name of the objects: that of the release, which may be "true" or "null", so it is quoted
     wherever it stands. Of a long one, what distinguishes it from others is kept. */}}
{{- define "airsift.name" -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) -}}
{{- fail (printf "the release's name is %q: it names a Service, so it must begin with a letter, and have a-z, 0-9 and - alone" .Release.Name) -}}
{{- end -}}
{{- if gt (len .Release.Name) 50 -}}
{{- printf "%s-%s" (.Release.Name | trunc 43 | trimSuffix "-") (sha256sum .Release.Name | trunc 6) -}}
{{- else -}}
{{- .Release.Name -}}
{{- end -}}
{{- end }}

{{/* What selects the workers, and nothing else. */}}
{{- define "airsift.selector" -}}
app.kubernetes.io/name: airsift
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "airsift.labels" -}}
{{ include "airsift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

{{- define "airsift.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion | toString) | toJson }}
{{- end }}

{{/* A configuration as TOML: first the values of a table, then its tables. JSON's strings, numbers,
     booleans and lists are TOML's too. Takes a dict of `name` and `table`. */}}
{{- define "airsift.toml" -}}
{{- $name := .name -}}
{{- $values := false -}}
{{- range $key, $value := .table -}}
{{- if not (kindIs "map" $value) -}}
{{- if and $name (not $values) }}
[{{ $name }}]
{{ end -}}
{{- $values = true -}}
{{ $key }} = {{ toJson $value }}
{{ end -}}
{{- end -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- include "airsift.toml" (dict "name" (ternary (printf "%s.%s" $name $key) $key (ne $name "")) "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "airsift.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What selects the pod of the history: not one of the workers. */}}
{{- define "airsift.history" -}}
app.kubernetes.io/name: airsift-history
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The ConfigMap with the authority's certificate; empty: none. */}}
{{- define "airsift.ca" -}}
{{- $own := ternary (printf "%s-ca" (include "airsift.name" .)) "" (ne .Values.ca.certificate "") -}}
{{- .Values.ca.existingConfigMap | default $own -}}
{{- end }}

{{/* What all pods have: where they run, as whom, and how they end. */}}
{{- define "airsift.pod" -}}
# A worker needs 5 s to stop, and longer with a slow broker.
terminationGracePeriodSeconds: 30
automountServiceAccountToken: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "airsift.probes" -}}
# The first answer follows after the network is loaded.
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 5
  failureThreshold: 36
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
  failureThreshold: 3
# Workers receive no traffic: readiness only paces a rolling update.
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{/* The configuration, and what Kafka's login needs; the volumes of the same. */}}
{{- define "airsift.mounts" -}}
- {name: config, mountPath: /etc/airsift, readOnly: true}
{{- if .Values.kafkaSecret }}
- {name: kafka, mountPath: /etc/airsift-kafka, readOnly: true}
{{- end }}
{{- if include "airsift.ca" . }}
- {name: ca, mountPath: /etc/airsift-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "airsift.volumes" -}}
- name: config
  configMap: {name: {{ include "airsift.name" . | quote }}}
{{- with .Values.kafkaSecret }}
- name: kafka
  secret: {secretName: {{ toJson . }}, defaultMode: 0440}
{{- end }}
{{- with include "airsift.ca" . }}
- name: ca
  configMap: {name: {{ toJson . }}}
{{- end }}
{{- end }}
