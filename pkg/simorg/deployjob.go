package simorg

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// deployJob is a deploy that the org has accepted. It finishes at once, so the first poll
// returns the result.
type deployJob struct {
	id        string
	started   time.Time
	checkOnly bool
	files     []*deployFile
	failures  []DeployFailure
}

// Bounds of a deploy's zip. The platform accepts 39 MB and 10,000 files.
const (
	maxZipFiles = 10000
	maxZipFile  = 1 << 20
	maxZipTotal = 32 << 20 // all files; real External Client Apps are far smaller
)

// takeDeploy deploys a zip in the Metadata API's format: package.xml and folders of types,
// optionally below a root directory.
func (o *Org) takeDeploy(session string, zipped []byte, version apiversion.Version, checkOnly bool) (*deployJob, error) {
	reader, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return nil, &soapError{"sf:INVALID_ZIP_FILE", "INVALID_ZIP_FILE: " + err.Error()} // assumed wording
	}
	if len(reader.File) > maxZipFiles {
		return nil, &soapError{"sf:LIMIT_EXCEEDED", "LIMIT_EXCEEDED: Maximum number of files exceeded"} // assumed wording
	}
	total, manifest := uint64(0), false
	for _, f := range reader.File {
		if total += f.UncompressedSize64; f.UncompressedSize64 > maxZipFile || total > maxZipTotal {
			return nil, &soapError{"sf:LIMIT_EXCEEDED", "LIMIT_EXCEEDED: Maximum size of a file exceeded"} // assumed wording
		}
		manifest = manifest || path.Base(f.Name) == "package.xml"
	}
	if !manifest {
		return nil, &soapError{"sf:INVALID_ZIP_FILE", "INVALID_ZIP_FILE: No package.xml found"} // assumed wording
	}
	job := &deployJob{id: o.nextID("0Af"), started: time.Now(), checkOnly: checkOnly}
	job.files, job.failures, err = o.collect(reader, ".", "", version)
	deletions, malformed := destructive(reader)
	if err := cmp.Or(err, malformed); err != nil {
		return nil, &soapError{"sf:INVALID_ZIP_FILE", "INVALID_ZIP_FILE: " + err.Error()}
	}
	for _, f := range job.files {
		if refused := o.refuseWrite(session, f.rec.typ); refused != nil {
			job.failures = append(job.failures, DeployFailure{f.path, f.rec.typ, f.rec.fullName, problem(refused)})
		}
	}
	job.failures = append(job.failures, o.deployFiles(job.files, version, checkOnly || len(job.failures) > 0)...)
	if len(job.failures) == 0 && !checkOnly {
		for _, d := range deletions {
			o.delete(d.typ, d.fullName) // a missing component causes a warning at most
		}
	}
	o.deploys[job.id] = job
	return job, nil
}

// deletion is a component that a deploy deletes.
type deletion struct{ typ, fullName string }

// destructive reads the manifests of deletions: destructiveChanges.xml and its variants for
// before and after the deploy. All are carried out after it.
func destructive(zipped *zip.Reader) (all []deletion, err error) {
	for _, f := range zipped.File {
		if !strings.HasPrefix(path.Base(f.Name), "destructiveChanges") {
			continue
		}
		content, err := fs.ReadFile(zipped, f.Name)
		if err != nil {
			return nil, err
		}
		manifest, err := parseXML(content)
		if err != nil {
			return nil, err
		}
		for _, types := range manifest.children {
			for _, n := range types.children {
				if n.name.Local == "members" {
					all = append(all, deletion{types.value("name"), strings.TrimSpace(n.text)})
				}
			}
		}
	}
	return all, nil
}

// deploySOAP answers deploy.
func (o *Org) deploySOAP(c call) (string, error) {
	zipped, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(c.operation.value("ZipFile")), ""))
	if err != nil {
		return "", badRequest("ZipFile is not valid xsd:base64Binary")
	}
	options := c.operation.child(metadata.Namespace, "DeployOptions")
	job, err := o.takeDeploy(c.session, zipped, c.version, options != nil && options.value("checkOnly") == "true")
	if err != nil {
		return "", err
	}
	return "<result>" + element("done", "false") + element("id", job.id) + element("state", "Queued") + "</result>", nil
}

// deployStatusSOAP answers checkDeployStatus.
func (o *Org) deployStatusSOAP(c call) (string, error) {
	job := o.deploys[c.operation.value("asyncProcessId")]
	if job == nil {
		return "", &soapError{"sf:INVALID_ID_FIELD", "INVALID_ID_FIELD: no deploy with this ID"} // assumed wording
	}
	var b strings.Builder
	writeXMLValue(&b, "result", job.result(c.operation.value("includeDetails") == "true"))
	return b.String(), nil
}

// named is a field of a result. Results have WSDL order.
type named struct {
	name  string
	value any // string, bool, int, []named, or [][]named if repeated
}

func writeXMLValue(b *strings.Builder, name string, v any) {
	switch v := v.(type) {
	case []named:
		b.WriteString("<" + name + ">")
		for _, f := range v {
			writeXMLValue(b, f.name, f.value)
		}
		b.WriteString("</" + name + ">")
	case [][]named:
		for _, item := range v {
			writeXMLValue(b, name, item)
		}
	default:
		b.WriteString(element(name, fmt.Sprint(v)))
	}
}

func jsonValue(v any) any {
	switch v := v.(type) {
	case []named:
		object := make(map[string]any)
		for _, f := range v {
			object[f.name] = jsonValue(f.value)
		}
		return object
	case [][]named:
		list := []any{}
		for _, item := range v {
			list = append(list, jsonValue(item))
		}
		return list
	}
	return v
}

// result returns the DeployResult of a job.
func (j *deployJob) result(details bool) []named {
	status := "Succeeded"
	if len(j.failures) > 0 {
		status = "Failed"
	}
	deployed := len(j.files) - len(j.failures)
	when := j.started.UTC().Format("2006-01-02T15:04:05.000Z")
	all := []named{
		{"checkOnly", j.checkOnly}, {"completedDate", when}, {"createdBy", "005000000000001"}, {"createdByName", "Admin"}, {"createdDate", when},
	}
	if details {
		var successes, failures [][]named
		for _, f := range j.files {
			if !j.failed(f) {
				successes = append(successes, j.message(f.path, f.rec.typ, f.rec.fullName, f.created, ""))
			}
		}
		for _, f := range j.failures {
			failures = append(failures, j.message(f.File, f.Type, f.FullName, false, f.Problem))
		}
		all = append(all, named{"details", []named{
			{"componentFailures", failures}, {"componentSuccesses", successes},
			{"runTestResult", []named{{"numFailures", 0}, {"numTestsRun", 0}, {"totalTime", 0.0}}},
		}})
	}
	return append(all,
		named{"done", true}, named{"id", j.id}, named{"ignoreWarnings", false}, named{"lastModifiedDate", when},
		named{"numberComponentErrors", len(j.failures)}, named{"numberComponentsDeployed", max(deployed, 0)}, named{"numberComponentsTotal", len(j.files)},
		named{"numberTestErrors", 0}, named{"numberTestsCompleted", 0}, named{"numberTestsTotal", 0},
		named{"rollbackOnError", true}, named{"runTestsEnabled", false}, named{"startDate", when}, named{"status", status}, named{"success", status == "Succeeded"},
	)
}

func (j *deployJob) failed(f *deployFile) bool {
	return slices.ContainsFunc(j.failures, func(failure DeployFailure) bool { return failure.File == f.path })
}

// message returns a DeployMessage.
func (j *deployJob) message(file, typ, fullName string, created bool, problem string) []named {
	m := []named{
		{"changed", problem == ""}, {"componentType", typ}, {"created", created}, {"createdDate", j.started.UTC().Format(time.RFC3339)},
		{"deleted", false}, {"fileName", file}, {"fullName", fullName},
	}
	if problem != "" {
		m = append(m, named{"problem", problem}, named{"problemType", "Error"})
	}
	return append(m, named{"success", problem == ""})
}

// deployREST answers the REST calls for deploys: POST metadata/deployRequest with a multipart
// body, and GET metadata/deployRequest/ID.
func (o *Org) deployREST(r *http.Request, key string, body []byte, version apiversion.Version) (any, *restError) {
	resource, id, _ := strings.Cut(key, "/")
	if resource != "deployRequest" {
		return nil, notFoundREST
	}
	if r.Method == http.MethodGet {
		job := o.deploys[id]
		if job == nil {
			return nil, notFoundREST
		}
		return map[string]any{"id": job.id, "deployResult": jsonValue(job.result(r.URL.Query().Get("includeDetails") == "true"))}, nil
	}
	wrong := &restError{http.StatusBadRequest, "INVALID_MULTIPART_REQUEST", "The multipart request is not a deploy"} // assumed wording
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || r.Method != http.MethodPost || id != "" {
		return nil, wrong
	}
	var options struct {
		DeployOptions struct {
			CheckOnly bool `json:"checkOnly"`
		} `json:"deployOptions"`
	}
	var zipped []byte
	for parts := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, wrong
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, wrong
		}
		if strings.Contains(part.Header.Get("Content-Type"), "json") {
			if err := json.Unmarshal(content, &options); err != nil {
				return nil, wrong
			}
		} else {
			zipped = content
		}
	}
	job, err := o.takeDeploy(bearer(r), zipped, version, options.DeployOptions.CheckOnly)
	if err != nil {
		return nil, &restError{http.StatusBadRequest, "INVALID_ZIP_FILE", err.Error()}
	}
	return map[string]any{"id": job.id, "deployResult": jsonValue([]named{{"done", false}, {"id", job.id}, {"status", "Pending"}, {"success", false}})}, nil
}
