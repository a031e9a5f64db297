package platform

import "testing"

// TestServicesAnswered: a token goes to a host of Salesforce, or to the loopback address of the org that gave
// it, and nowhere else.
func TestServicesAnswered(t *testing.T) {
	t.Parallel()
	const org, local = "https://acme.my.salesforce.com", "http://127.0.0.1:8080"
	for _, test := range []struct{ instance, answered, want string }{
		{org, "", ServicesHost},
		{local, "", local},
		{"http://localhost:1", "", "http://localhost:1"},
		{org, "https://api.salesforce.com", "https://api.salesforce.com"},
		{org, "https://api.salesforce.com/", "https://api.salesforce.com"},
		{org, "https://api.gov.salesforce.com", "https://api.gov.salesforce.com"},
		{org, "http://api.salesforce.com", ""},
		{org, "https://api.salesforce.com.evil.example", ""},
		{org, "https://evilsalesforce.com", ""},
		{org, "https://salesforce.com@evil.example", ""},
		{org, "https://evil.example/.salesforce.com", ""},
		{org, "https://evil.example#.salesforce.com", ""},
		{org, "https://evil.example?.salesforce.com", ""},
		{org, "//api.salesforce.com", ""},
		{org, local, ""},
		{local, local, local},
		{local, local + "/", local},
		{local, "http://127.0.0.1:8081", ""},
		{local, "http://localhost:8080", ""},
		{local, "https://127.0.0.1:8080", ""},
		{local, "https://evil.example", ""},
		{local, ServicesHost, ""},
	} {
		got, err := ServicesAnswered(test.instance, test.answered)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s of %s: got %q, %v, want %q", test.answered, test.instance, got, err, test.want)
		}
	}
}

func TestMCPAddresses(t *testing.T) {
	t.Parallel()
	const server = "platform/sobject-all"
	for _, test := range []struct {
		kind               Kind
		instance           string
		developer          bool
		standard, myDomain string
	}{
		{Production, "https://acme.my.salesforce.com", false, server, "d/acme/" + server},
		{Production, "https://acme-dev-ed.develop.my.salesforce.com", true, server, "d/acme-dev-ed/develop/" + server},
		{Sandbox, "https://acme--uat.sandbox.my.salesforce.com", false, "sandbox/" + server, "d/acme--uat/sandbox/" + server},
		{Scratch, "https://force-app-1.scratch.my.salesforce.com", false, "sandbox/" + server, "d/force-app-1/scratch/" + server},
		{Scratch, "http://127.0.0.1:8080", false, "sandbox/" + server, ""},
		{Production, "https://login.salesforce.com", false, server, ""},
	} {
		standard, myDomain := MCPAddresses(test.kind, test.instance, server, test.developer)
		if standard != test.standard || myDomain != test.myDomain {
			t.Errorf("%s: got %q, %q", test.instance, standard, myDomain)
		}
	}
}

func TestMCPServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, label, id, want string }{
		{"platform_sobject_all", "sobject-all", "", "platform/sobject-all"},
		{"data_data_cloud_queries", "data-cloud-queries", "", "data/data-cloud-queries"},
		{"platform_headless_360", "Headless 360 (Beta)", "", "platform/headless-360"},
		{"MyServer", "My Server", "1fz000000000001AAA", "custom/MyServer"},
		{"odd", "", "", "odd"},
	} {
		if got := MCPServer(test.name, test.label, test.id); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	for _, test := range []struct {
		a, b string
		same bool
	}{{"platform/sobject-all", "platform/Sobject_All", true}, {"sobject-all", "platform/sobject-all", false}} {
		if SameMCPServer(test.a, test.b) != test.same {
			t.Errorf("%v", test)
		}
	}
}

func TestIsAgentID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{"0Xx000000000001": true, "0Xx000000000001AAA": true, "0XxAgent": false, "0Xx00000000000/": false, "005000000000001": false} {
		if IsAgentID(id) != want {
			t.Errorf("%s: %t", id, !want)
		}
	}
}
