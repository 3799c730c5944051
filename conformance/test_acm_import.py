"""AWS Certificate Manager: what can be imported, what is answered, and that no key comes out."""

import datetime
import json
import subprocess

import botocore.exceptions
import pytest


@pytest.fixture(scope="module")
def server(simulated):
    return simulated


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


class Pki:
    """Certificates of every kind, made with OpenSSL."""

    def __init__(self, home):
        self.home = home
        self.count = 0
        self.ca = self.authority("Example Root", None)
        self.middle = self.authority("Example Middle", self.ca)
        self.stranger = self.authority("Somebody Else", None)
        self.leaf = self.issue("www.example.com", self.middle, names=["www.example.com", "example.com"])

    def run(self, *arguments, **options):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.home, **options).stdout

    def key(self, kind="rsa:2048"):
        algorithm, _, size = kind.partition(":")
        if algorithm == "rsa":
            return self.run("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{size}")
        return self.run("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{size}")

    def authority(self, name, above):
        extensions = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
        return self.sign(f"/O=Example Trust/CN={name}", self.key("ec:P-256"), above, extensions)

    def issue(self, name, above, kind="rsa:2048", names=(), days=30, usages="digitalSignature,keyEncipherment",
              key=None, extra=""):
        extensions = f"keyUsage=critical,{usages}\nextendedKeyUsage=serverAuth,clientAuth\n{extra}"
        if names:
            extensions += "subjectAltName=" + ",".join(f"DNS:{one}" for one in names) + "\n"
        return self.sign(f"/C=US/O=Example/CN={name}", key or self.key(kind), above, extensions, days)

    def sign(self, subject, key, above, extensions, days=30):
        """A certificate of `subject`, signed by `above` or by itself."""
        self.count += 1
        name = f"{self.count}"
        (self.home / f"{name}.key").write_bytes(key)
        (self.home / f"{name}.ext").write_text(extensions)
        self.run("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        signer = ["-signkey", f"{name}.key"]
        if above:
            signer = ["-CA", f"{above.name}.pem", "-CAkey", f"{above.name}.key", "-CAcreateserial"]
        until = ["-days", str(days)]
        self.run("x509", "-req", "-in", f"{name}.csr", *signer, *until, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        pem = self.run("x509", "-in", f"{name}.pem")
        return Certificate(name, pem, key)


class Certificate:
    def __init__(self, name, pem, key):
        self.name, self.pem, self.key = name, pem, key


def refusal(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def chain_of(*certificates):
    return b"".join(certificate.pem for certificate in certificates)


def imported(acm, pki, certificate=None, **arguments):
    certificate = certificate or pki.leaf
    return acm.import_certificate(Certificate=certificate.pem, PrivateKey=certificate.key,
                                  CertificateChain=chain_of(pki.middle, pki.ca), **arguments)["CertificateArn"]


def test_what_is_imported_is_described(server, pki):
    acm = server.client("acm", account="100000000001")
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    arn = imported(acm, pki, Tags=[{"Key": "stage", "Value": "test"}, {"Key": "bare"}])
    assert arn.startswith("arn:aws:acm:us-east-1:100000000001:certificate/") and len(arn.rsplit("/")[1]) == 36
    found = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert found["DomainName"] == "www.example.com"
    assert found["SubjectAlternativeNames"] == ["www.example.com", "example.com"]
    assert found["Subject"] == "CN=www.example.com,O=Example,C=US"
    assert found["Issuer"] == "Example Trust"
    assert found["Status"] == "ISSUED" and found["Type"] == "IMPORTED"
    assert found["KeyAlgorithm"] == "RSA-2048" and found["SignatureAlgorithm"] == "SHA256WITHECDSA"
    assert found["KeyUsages"] == [{"Name": "DIGITAL_SIGNATURE"}, {"Name": "KEY_ENCIPHERMENT"}]
    assert found["ExtendedKeyUsages"] == [
        {"Name": "TLS_WEB_SERVER_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.1"},
        {"Name": "TLS_WEB_CLIENT_AUTHENTICATION", "OID": "1.3.6.1.5.5.7.3.2"}]
    assert found["InUseBy"] == [] and found["RenewalEligibility"] == "INELIGIBLE"
    assert found["ImportedAt"] >= before and found["CreatedAt"] == found["ImportedAt"]
    assert found["NotAfter"] - found["NotBefore"] == datetime.timedelta(days=30)
    serial = pki.run("x509", "-noout", "-serial", "-in", f"{pki.leaf.name}.pem").decode().strip().split("=")[1].lower()
    assert found["Serial"].replace(":", "").lstrip("0") == serial.lstrip("0")
    got = acm.get_certificate(CertificateArn=arn)
    assert got["Certificate"].encode() == pki.leaf.pem
    assert got["CertificateChain"].encode() == chain_of(pki.middle, pki.ca)
    tags = acm.list_tags_for_certificate(CertificateArn=arn)["Tags"]
    assert tags == [{"Key": "bare", "Value": ""}, {"Key": "stage", "Value": "test"}]


def test_every_key_that_a_listener_can_serve(server, pki):
    acm = server.client("acm", account="100000000002")
    algorithms = {}
    for kind in ["rsa:2048", "rsa:3072", "rsa:4096", "ec:P-256", "ec:P-384"]:
        arn = imported(acm, pki, pki.issue(f"{kind.replace(':', '-')}.example.com".lower(), pki.middle, kind))
        algorithms[kind] = acm.describe_certificate(CertificateArn=arn)["Certificate"]["KeyAlgorithm"]
    assert algorithms == {"rsa:2048": "RSA-2048", "rsa:3072": "RSA-3072", "rsa:4096": "RSA-4096",
                          "ec:P-256": "EC-prime256v1", "ec:P-384": "EC-secp384r1"}
    # The older forms of keys.
    for command in [("rsa", "-traditional"), ("ec",)]:
        certificate = pki.issue("old.example.com", pki.middle, "rsa:2048" if command[0] == "rsa" else "ec:P-256")
        certificate.key = pki.run(*command, "-in", f"{certificate.name}.key")
        assert b"BEGIN PRIVATE KEY" not in certificate.key
        imported(acm, pki, certificate)
    # Signed by itself, it needs no chain.
    alone = pki.issue("alone.example.com", None)
    acm.import_certificate(Certificate=alone.pem, PrivateKey=alone.key)


def bad_offers(pki):
    leaf, middle, ca = pki.leaf, pki.middle, pki.ca
    whole = {"Certificate": leaf.pem, "PrivateKey": leaf.key, "CertificateChain": chain_of(middle, ca)}
    unparsed = "Unable to parse certificate"
    order = "Unable to validate certificate chain. The certificate chain must start with the immediate signing certificate"
    encrypted = pki.run("pkcs8", "-topk8", "-passout", "pass:secret", "-in", f"{leaf.name}.key")
    p521 = pki.issue("p521.example.com", middle, "ec:P-521")
    small = pki.issue("small.example.com", middle, "rsa:1024")
    return [
        ("garbage", {"Certificate": b"garbage"}, unparsed),
        ("der", {"Certificate": pki.run("x509", "-in", f"{leaf.name}.pem", "-outform", "DER")}, unparsed),
        ("broken base64", {"Certificate": leaf.pem.replace(b"MII", b"M!I", 1)}, unparsed),
        ("cut", {"Certificate": leaf.pem[:-30]}, unparsed),
        ("no certificate but PEM", {"Certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, unparsed),
        ("a key for a certificate", {"Certificate": leaf.key}, unparsed),
        ("two certificates", {"Certificate": leaf.pem + middle.pem}, "The certificate field contains more than one certificate."),
        ("another key", {"PrivateKey": pki.key()}, "The private key does not match"),
        ("an encrypted key", {"PrivateKey": encrypted}, "Your private key should not be encrypted."),
        ("a garbage key", {"PrivateKey": b"garbage"}, "The private key is not supported."),
        ("a large key", {"PrivateKey": leaf.key + b"\n" * 5200}, "The private key must have at most 5120 bytes"),
        ("two keys", {"PrivateKey": leaf.key + leaf.key}, "The private key is not supported."),
        ("a curve", {"Certificate": p521.pem, "PrivateKey": p521.key}, "The private key length is not supported for key algorithm."),
        ("a small key", {"Certificate": small.pem, "PrivateKey": small.key}, "The private key length is not supported for key algorithm."),
        ("no chain", {"CertificateChain": None}, "Provided certificate is not a valid self signed."),
        ("chain upside down", {"CertificateChain": chain_of(ca, middle)}, order),
        ("chain with itself", {"CertificateChain": chain_of(leaf, middle, ca)}, order),
        ("chain that breaks", {"CertificateChain": chain_of(middle, pki.stranger)}, order),
        ("another's chain", {"CertificateChain": pki.stranger.pem}, "Could not validate the certificate with the certificate chain."),
        ("a garbage chain", {"CertificateChain": b"garbage"}, "The certificate chain provided is not in a valid PEM format."),
        ("a key in the chain", {"CertificateChain": middle.pem + leaf.key}, "The certificate chain provided is not in a valid PEM format."),
    ], whole


def test_what_cannot_be_served_is_refused(server, pki):
    acm = server.client("acm", account="100000000003")
    offers, whole = bad_offers(pki)
    for what, change, text in offers:
        request = {name: value for name, value in {**whole, **change}.items() if value is not None}
        code, message = refusal(acm.import_certificate, **request)
        assert code == "ValidationException" and message.startswith(text), (what, code, message)
    assert acm.list_certificates()["CertificateSummaryList"] == []


def test_a_certificate_has_its_time(server, pki):
    acm = server.client("acm", account="100000000004")
    short = pki.issue("short.example.com", pki.middle, days=2)
    arn = imported(acm, pki, short)
    server.advance(3 * 86400)
    assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["Status"] == "EXPIRED"
    listed = acm.list_certificates(CertificateStatuses=["EXPIRED"])["CertificateSummaryList"]
    assert [one["CertificateArn"] for one in listed] == [arn]
    assert acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"] == []
    code, message = refusal(imported, acm=acm, pki=pki, certificate=short)
    assert (code, message) == ("ValidationException", "The certificate has expired.")


def test_importing_again_replaces(server, pki):
    acm = server.client("acm", account="100000000005")
    arn = imported(acm, pki)
    first = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    fresh = pki.issue("www.example.com", pki.middle, names=["www.example.com", "new.example.com"])
    server.advance(60)
    assert imported(acm, pki, fresh, CertificateArn=arn) == arn
    second = acm.describe_certificate(CertificateArn=arn)["Certificate"]
    assert second["CreatedAt"] == first["CreatedAt"] and second["ImportedAt"] > first["ImportedAt"]
    assert second["SubjectAlternativeNames"] == ["www.example.com", "new.example.com"]
    assert second["Serial"] != first["Serial"]
    code, message = refusal(imported, acm=acm, pki=pki, CertificateArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert (code, message) == ("ValidationException", "Tagging is not permitted on re-import.")
    code, message = refusal(imported, acm=acm, pki=pki, certificate=pki.issue("x.example.com", pki.middle, "ec:P-256"),
                            CertificateArn=arn)
    assert code == "ValidationException" and "key type and size" in message
    code, message = refusal(imported, acm=acm, pki=pki, CertificateArn=arn,
                            certificate=pki.issue("x.example.com", pki.middle, usages="digitalSignature"))
    assert code == "ValidationException" and "key usages" in message
    missing = arn[:-4] + "beef"
    code, message = refusal(imported, acm=acm, pki=pki, CertificateArn=missing)
    assert (code, message) == ("ResourceNotFoundException", f"Could not find certificate {missing}.")


def test_lists_filter_sort_and_page(server, pki):
    acm = server.client("acm", account="100000000006")
    rsa = [imported(acm, pki) for _ in range(5)]
    elliptic = imported(acm, pki, pki.issue("ec.example.com", pki.middle, "ec:P-256"))
    # AWS: without a filter, RSA up to 2,048 bits alone.
    listed = acm.list_certificates()["CertificateSummaryList"]
    assert sorted(one["CertificateArn"] for one in listed) == sorted(rsa)
    summary = listed[0]
    assert summary["DomainName"] == "www.example.com" and summary["InUse"] is False
    assert summary["SubjectAlternativeNameSummaries"] == ["www.example.com", "example.com"]
    assert summary["HasAdditionalSubjectAlternativeNames"] is False and summary["Exported"] is False
    both = acm.list_certificates(Includes={"keyTypes": ["RSA_2048", "EC_prime256v1"]})["CertificateSummaryList"]
    assert len(both) == 6
    only = acm.list_certificates(Includes={"keyTypes": ["EC_prime256v1"]})["CertificateSummaryList"]
    assert [one["CertificateArn"] for one in only] == [elliptic]
    for includes, count in [({"keyUsage": ["KEY_ENCIPHERMENT"]}, 5), ({"keyUsage": ["CRL_SIGNING"]}, 0),
                            ({"extendedKeyUsage": ["TLS_WEB_SERVER_AUTHENTICATION"]}, 5),
                            ({"extendedKeyUsage": ["CODE_SIGNING"]}, 0), ({"exportOption": "ENABLED"}, 0),
                            ({"exportOption": "DISABLED"}, 5)]:
        assert len(acm.list_certificates(Includes=includes)["CertificateSummaryList"]) == count, includes
    for order, expected in [("ASCENDING", rsa), ("DESCENDING", rsa[::-1])]:
        pages = acm.get_paginator("list_certificates").paginate(
            SortBy="CREATED_AT", SortOrder=order, PaginationConfig={"PageSize": 2})
        assert [one["CertificateArn"] for page in pages for one in page["CertificateSummaryList"]] == expected
    code, _ = refusal(acm.list_certificates, SortBy="CREATED_AT")
    assert code == "InvalidArgsException"
    assert server.client("acm", account="100000000006", region="eu-west-1").list_certificates()["CertificateSummaryList"] == []


def test_tags(server, pki):
    acm = server.client("acm", account="100000000007")
    arn = imported(acm, pki)
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "3"}])
    # AWS: named with another value, a tag stays.
    acm.remove_tags_from_certificate(CertificateArn=arn, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    assert acm.list_tags_for_certificate(CertificateArn=arn)["Tags"] == [{"Key": "a", "Value": "3"}]
    code, message = refusal(acm.add_tags_to_certificate, CertificateArn=arn, Tags=[{"Key": "aws:x", "Value": "1"}])
    assert code == "InvalidTagException"
    acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": f"k{n}", "Value": ""} for n in range(49)])
    code, message = refusal(acm.add_tags_to_certificate, CertificateArn=arn, Tags=[{"Key": "one more", "Value": ""}])
    assert code == "TooManyTagsException"


def test_deleted_is_gone_and_nothing_is_exported(server, pki):
    acm = server.client("acm", account="100000000008")
    arn = imported(acm, pki)
    code, message = refusal(acm.export_certificate, CertificateArn=arn, Passphrase=b"secret")
    assert (code, message) == ("ValidationException", f"Certificate ARN: {arn} is not a private certificate")
    acm.delete_certificate(CertificateArn=arn)
    for call in [acm.describe_certificate, acm.get_certificate, acm.delete_certificate, acm.list_tags_for_certificate]:
        code, message = refusal(call, CertificateArn=arn)
        assert (code, message) == ("ResourceNotFoundException", f"Could not find certificate {arn}.")
    other = server.client("acm", account="100000000009")
    arn = imported(acm, pki)
    assert refusal(other.describe_certificate, CertificateArn=arn)[0] == "ResourceNotFoundException"
    assert refusal(acm.describe_certificate, CertificateArn=arn.replace(":certificate/", ":something/"))[0] == "InvalidArnException"
    assert refusal(acm.describe_certificate, CertificateArn="no arn of any kind at all")[0] == "ValidationException"


def test_what_is_not_offered_is_refused_by_name(server):
    acm = server.client("acm")
    for call, arguments in [(acm.request_certificate, {"DomainName": "example.com"}), (acm.get_account_configuration, {})]:
        code, message = refusal(call, **arguments)
        assert code == "UnknownOperationException" and "does not offer" in message


def test_no_key_lies_on_disk_in_clear(server, pki):
    acm = server.client("acm", account="100000000010")
    secret = pki.issue("secret.example.com", pki.middle)
    imported(acm, pki, secret)
    server.run("ca", "export")
    lines = [line for line in secret.key.splitlines() if not line.startswith(b"-----")]
    seen = 0
    for path in server.data_dir.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        assert b"PRIVATE KEY" not in content, path
        assert not any(line in content for line in lines), path
        seen += b"secret.example.com" in content
    assert seen, "the record itself was found"


def test_the_aws_cli_imports(server, pki):
    home = pki.home
    (home / "chain.pem").write_bytes(chain_of(pki.middle, pki.ca))
    arn = server.aws("acm", "import-certificate", "--certificate", f"fileb://{home}/{pki.leaf.name}.pem", "--private-key",
                     f"fileb://{home}/{pki.leaf.name}.key", "--certificate-chain", f"fileb://{home}/chain.pem")["CertificateArn"]
    found = server.aws("acm", "describe-certificate", "--certificate-arn", arn)["Certificate"]
    assert found["DomainName"] == "www.example.com"
    assert "PRIVATE" not in json.dumps(server.aws("acm", "get-certificate", "--certificate-arn", arn))
    assert server.aws("acm", "delete-certificate", "--certificate-arn", arn) is None


def test_what_a_listener_uses_stays(server, pki):
    """One certificate is a listener's default, one is beside it; neither goes before the listener has let go."""
    account = "100000000011"
    acm, elb, ec2 = (server.client(name, account=account) for name in ("acm", "elbv2", "ec2"))
    default, second, unused = (imported(acm, pki) for _ in range(3))
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    balancer = elb.create_load_balancer(Name="secure", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    listener = elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": default}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}])["Listeners"][0]["ListenerArn"]
    elb.add_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": second}])
    for arn in (default, second):
        assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"] == [balancer]
        code, message = refusal(acm.delete_certificate, CertificateArn=arn)
        assert (code, message) == ("ResourceInUseException", f"Certificate {arn} in account {account} is in use.")
    used = {one["CertificateArn"]: one["InUse"] for one in acm.list_certificates()["CertificateSummaryList"]}
    assert used == {default: True, second: True, unused: False}
    elb.remove_listener_certificates(ListenerArn=listener, Certificates=[{"CertificateArn": second}])
    acm.delete_certificate(CertificateArn=second)
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    acm.delete_certificate(CertificateArn=default)
