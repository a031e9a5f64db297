package cli

import (
	"os"
	"path/filepath"
	"strings"
)

const emptyProject = "{\n  \"packageDirectories\": [\n    {\"path\": \"src/core\", \"package\": \"core\", \"versionNumber\": \"1.0.0.NEXT\", \"default\": true}\n  ],\n  \"sourceApiVersion\": \"66.0\"\n}\n"

// crashes are the commands that TestCrashes ends.
func crashes() []*crash {
	inFiles := func(s *scene) string { return tree(s.dir) }
	project := func(s *scene) { s.files(map[string]string{"sfdx-project.json": emptyProject}) }
	anApp := func(s *scene) {
		project(s)
		out, err := s.command(strings.Fields("init --app First --contact-email a@example.com --env uat=i@example.com")).CombinedOutput()
		if err != nil {
			s.t.Fatalf("%v\n%s", err, out)
		}
	}
	return []*crash{
		{
			name: "init", set: project, result: inFiles,
			args: strings.Fields("init --app Erp --contact-email a@example.com --env uat=i@example.com --permission-set Erp_Users"),
		},
		{
			// A new folder gets the policies that the app of default has.
			name: "init of a second app", set: func(s *scene) {
				anApp(s)
				policies := filepath.Join(s.dir, "src/eca-policies/default/extlClntAppOauthPolicies")
				data, err := os.ReadFile(filepath.Join(policies, "First_oauthPlcy.ecaOauthPlcy-meta.xml"))
				s.must(err)
				s.must(os.WriteFile(filepath.Join(policies, "Other_oauthPlcy.ecaOauthPlcy-meta.xml"),
					[]byte(strings.ReplaceAll(string(data), ">First<", ">Other<")), 0o644))
			}, result: inFiles,
			args: strings.Fields("init --app Second --contact-email a@example.com --env sit"),
		},
		{
			name: "init with a key", set: project, result: func(s *scene) string {
				certificate := ownCertificate(filepath.Join(s.home, ".config/eca/Ci.key"), "Ci")
				stored, _ := os.ReadFile(filepath.Join(s.dir, "src/eca-definition/certs/Ci.crt"))
				same := len(stored) > 0 && string(certificate) == string(stored)
				return map[bool]string{true: "the key is that of the certificate\n", false: "the key is another one\n"}[same] + tree(s.dir, "Ci.crt")
			},
			args: strings.Fields("init --app Ci --contact-email a@example.com --preset ci --permission-set Ci_Users"),
		},
		{
			name: "migrate", set: func(s *scene) {
				project(s)
				s.must(os.CopyFS(filepath.Join(s.dir, "old"), os.DirFS("../../../testdata/audit/connectedApps")))
			}, result: inFiles,
			args: strings.Fields("migrate old --env prod --env uat=i@example.com --write"),
		},
	}
}
