from postcall.simulator.signing import sign


def test_signature_matches_the_vector_made_with_other_tools() -> None:
    body = (
        '{"type":"session.update","session_id":"s1","conversation_id":"c1","recording_status":"completed","note":"café"}'
    ).encode()
    assert len(body) == 112
    assert sign(body, secret="whsec_test_123", at_s=1764715200) == (
        "t=1764715200,v1=09210d62965c7574f1d41989a83348d5b251d2afceaf42bf4c6719ae23393aa1"
    )
